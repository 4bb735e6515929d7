//! Volumes and label maps on their grids. The axis i is the fastest, then j, then k, as in NIfTI.

use serde::{Deserialize, Serialize};

use crate::{Affine, Error, Result};

/// The positions of a volume's voxels in the world, and the NIfTI fields that stated them, which
/// are written back unchanged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// The number of voxels along i, j, k.
    pub dims: [usize; 3],
    /// The map from voxel indices to RAS+ millimeters.
    pub world_from_voxel: Affine,
    /// The geometry fields of the source's header.
    #[serde(rename = "forms")] // the name in cached cases and share links
    pub transforms: NiftiTransforms,
}

/// The geometry fields of a NIfTI header, unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct NiftiTransforms {
    /// `qform_code`; 0 if the quaternion is not set.
    pub qform_code: i16,
    /// `quatern_b`, `quatern_c`, `quatern_d`.
    pub quaternion: [f32; 3],
    /// `qoffset_x`, `qoffset_y`, `qoffset_z`.
    pub offset_mm: [f32; 3],
    /// `pixdim[0]`: −1 if the third axis is mirrored.
    pub qfac: f32,
    /// `pixdim[1..=3]`.
    pub spacing_mm: [f32; 3],
    /// `sform_code`; 0 if the rows are not set.
    pub sform_code: i16,
    /// `srow_x`, `srow_y`, `srow_z`.
    pub rows: [[f32; 4]; 3],
    /// `xyzt_units`.
    pub units: u8,
}

impl NiftiTransforms {
    /// Returns whether the header states the scan's position: a qform or an sform is set.
    pub fn states_orientation(&self) -> bool {
        self.sform_code > 0 || self.qform_code > 0
    }
}

impl Grid {
    /// Returns a grid that states its map as an sform (code 1, scanner) alone.
    pub fn new(dims: [usize; 3], world_from_voxel: Affine) -> Self {
        let transforms = NiftiTransforms {
            qfac: 1.0,
            spacing_mm: world_from_voxel.spacing_mm().map(|s| s as f32),
            sform_code: 1,
            rows: world_from_voxel.rows().map(|row| row.map(|x| x as f32)),
            units: 2, // millimeters
            ..NiftiTransforms::default()
        };
        Grid { dims, world_from_voxel, transforms }
    }

    /// Returns the number of voxels.
    pub fn num_voxels(&self) -> usize {
        self.dims.iter().product()
    }

    /// Returns the index of voxel (i, j, k) in a slice of all voxels.
    pub fn index(&self, [i, j, k]: [usize; 3]) -> usize {
        i + self.dims[0] * (j + self.dims[1] * k)
    }
}

/// One channel of a scan: an intensity for each voxel of its grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    grid: Grid,
    values: Vec<f32>,
}

impl Volume {
    /// Returns a volume of `values`, i fastest.
    ///
    /// # Errors
    /// [`Error::Scan`] if there is not one value for each voxel of the grid.
    pub fn new(grid: Grid, values: Vec<f32>) -> Result<Volume> {
        match values.len() == grid.num_voxels() {
            true => Ok(Volume { grid, values }),
            false => Err(Error::scan(format!("{} voxels", grid.num_voxels()), values.len())),
        }
    }

    /// Returns the voxels' grid.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Returns the intensities, i fastest; as many as the grid has voxels.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the intensities to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Returns the intensities without copying them.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Returns the lowest and the highest intensity.
    pub fn range(&self) -> [f32; 2] {
        let widen = |[low, high]: [f32; 2], &value: &f32| [low.min(value), high.max(value)];
        self.values.iter().fold([f32::INFINITY, f32::NEG_INFINITY], widen)
    }
}

/// One label for each voxel of its grid, by the label's code on disk; 0 is background.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelMap {
    grid: Grid,
    labels: Vec<u8>,
}

impl LabelMap {
    /// Returns a map of `labels`, i fastest.
    ///
    /// # Errors
    /// [`Error::Labels`] if there is not one label for each voxel of the grid.
    pub fn new(grid: Grid, labels: Vec<u8>) -> Result<LabelMap> {
        match labels.len() == grid.num_voxels() {
            true => Ok(LabelMap { grid, labels }),
            false => Err(Error::labels(format!("{} labels", grid.num_voxels()), labels.len())),
        }
    }

    /// Returns a map of background alone.
    pub fn background(grid: Grid) -> LabelMap {
        LabelMap { labels: vec![0; grid.num_voxels()], grid }
    }

    /// Returns the voxels' grid.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Returns the label codes, i fastest; as many as the grid has voxels.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Returns the label codes to be changed in place.
    pub fn labels_mut(&mut self) -> &mut [u8] {
        &mut self.labels
    }

    /// Returns the label codes without copying them.
    pub fn into_labels(self) -> Vec<u8> {
        self.labels
    }

    /// Returns the grid and the label codes without copying them.
    pub fn into_parts(self) -> (Grid, Vec<u8>) {
        (self.grid, self.labels)
    }

    /// Returns the volume, in milliliters, of the voxels whose label is one of `codes`.
    pub fn volume_ml(&self, codes: &[u8]) -> f64 {
        let num_voxels = self.labels.iter().filter(|label| codes.contains(label)).count();
        num_voxels as f64 * self.grid.world_from_voxel.voxel_volume_mm3() / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_another_length_than_the_grid_is_refused() {
        let grid = Grid::new([2, 3, 1], Affine::IDENTITY);
        assert!(Volume::new(grid.clone(), vec![0.0; 6]).is_ok());
        assert!(LabelMap::new(grid.clone(), vec![0; 6]).is_ok());
        let scan = Volume::new(grid.clone(), vec![0.0; 5]).unwrap_err().to_string();
        assert!(scan.contains("6 voxels") && scan.contains("found 5"), "{scan}");
        let labels = LabelMap::new(grid, vec![0; 7]).unwrap_err().to_string();
        assert!(labels.contains("6 labels") && labels.contains("found 7"), "{labels}");
    }
}
