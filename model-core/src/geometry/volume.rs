//! Volumes and label maps on their grids; i is the fastest axis, then j, then k, as NIfTI stores.

use serde::{Deserialize, Serialize};

use crate::Affine;

/// Where voxels lie: dimensions, the map to the world that is used, and both NIfTI forms as they
/// came, so that they can be written back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Number of voxels along i, j, k.
    pub dims: [usize; 3],
    /// From voxel indices to RAS+ millimetres.
    pub world_from_voxel: Affine,
    /// The source header's own statement of the geometry.
    pub forms: NiftiTransforms,
}

/// A NIfTI header's geometry fields, kept as they came.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct NiftiTransforms {
    /// `qform_code`; 0 says that the quaternion means nothing.
    pub qform_code: i16,
    /// `quatern_b`, `quatern_c`, `quatern_d`.
    pub quaternion: [f32; 3],
    /// `qoffset_x`, `qoffset_y`, `qoffset_z`.
    pub offset_mm: [f32; 3],
    /// `pixdim[0]`: −1 where the third axis is mirrored.
    pub qfac: f32,
    /// `pixdim[1..=3]`.
    pub spacing_mm: [f32; 3],
    /// `sform_code`; 0 says that the rows mean nothing.
    pub sform_code: i16,
    /// `srow_x`, `srow_y`, `srow_z`.
    pub rows: [[f32; 4]; 3],
    /// `xyzt_units`.
    pub units: u8,
}

impl NiftiTransforms {
    /// Whether the header states how the scan lies in space.
    pub fn states_orientation(&self) -> bool {
        self.sform_code > 0 || self.qform_code > 0
    }
}

impl Grid {
    /// A grid that states its map as an sform (code 1, scanner) and nothing else.
    pub fn new(dims: [usize; 3], world_from_voxel: Affine) -> Self {
        let forms = NiftiTransforms {
            qfac: 1.0,
            spacing_mm: world_from_voxel.spacing_mm().map(|s| s as f32),
            sform_code: 1,
            rows: world_from_voxel.rows().map(|row| row.map(|x| x as f32)),
            units: 2, // millimetres
            ..NiftiTransforms::default()
        };
        Grid { dims, world_from_voxel, forms }
    }

    /// Number of voxels.
    pub fn num_voxels(&self) -> usize {
        self.dims.iter().product()
    }

    /// The place of voxel (i, j, k) in a slice of voxels.
    pub fn index(&self, [i, j, k]: [usize; 3]) -> usize {
        i + self.dims[0] * (j + self.dims[1] * k)
    }
}

/// One channel of a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// Where the voxels lie.
    pub grid: Grid,
    /// Intensities, i fastest; as many as the grid has voxels.
    pub voxels: Vec<f32>,
}

impl Volume {
    /// The lowest and the highest intensity.
    pub fn range(&self) -> [f32; 2] {
        let widen = |[low, high]: [f32; 2], &voxel: &f32| [low.min(voxel), high.max(voxel)];
        self.voxels.iter().fold([f32::INFINITY, f32::NEG_INFINITY], widen)
    }
}

/// An exclusive label for every voxel, by its code on disk; 0 is background.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelMap {
    /// Where the voxels lie.
    pub grid: Grid,
    /// Label codes, i fastest; as many as the grid has voxels.
    pub labels: Vec<u8>,
}

impl LabelMap {
    /// The volume of the voxels whose label is one of `codes`.
    pub fn volume_ml(&self, codes: &[u8]) -> f64 {
        let num_voxels = self.labels.iter().filter(|label| codes.contains(label)).count();
        num_voxels as f64 * self.grid.world_from_voxel.voxel_volume_mm3() / 1000.0
    }
}
