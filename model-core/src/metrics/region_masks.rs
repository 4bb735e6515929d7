//! The masks of a region in prediction and reference, cropped to the bounding box of both.

use super::dice::{Counts, code_table};
use crate::{LabelMap, VoxelBox};

/// A region's masks, cropped to the bounding box of both with a margin. Both are empty outside the
/// box.
pub(super) struct RegionMasks {
    pub dims: [usize; 3],
    pub predicted: Vec<bool>,
    pub reference: Vec<bool>,
    pub counts: Counts,
    pub space: VoxelSpace,
}

/// The geometry of a grid, as far as distances depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct VoxelSpace {
    /// The spacing along i, j, k. Distances take the axes as perpendicular.
    pub spacing_mm: [f64; 3],
    /// Whether the volume has a single voxel along an axis, and so neither neighbors nor a border.
    pub is_flat: [bool; 3],
}

impl VoxelSpace {
    pub fn new(map: &LabelMap) -> VoxelSpace {
        let is_flat = map.grid().dims.map(|n| n == 1);
        VoxelSpace {
            spacing_mm: map.grid().world_from_voxel.spacing_mm(),
            // A volume of one voxel still has a surface.
            is_flat: if is_flat == [true; 3] { [false; 3] } else { is_flat },
        }
    }
}

impl RegionMasks {
    /// Returns the masks of the region with these label codes.
    ///
    /// # Panics
    /// If the two maps have different dimensions.
    pub fn new(
        predicted: &LabelMap,
        reference: &LabelMap,
        codes: &[u8],
        margin: usize,
    ) -> RegionMasks {
        let dims = reference.grid().dims;
        assert_eq!(predicted.grid().dims, dims, "both maps on one grid");
        let is_in = code_table(codes);
        let mut counts = Counts::default();
        let mut bounds = VoxelBox::EMPTY;
        let ni = dims[0].max(1);
        let rows = predicted.labels().chunks_exact(ni).zip(reference.labels().chunks_exact(ni));
        for (row, (predicted, reference)) in rows.enumerate() {
            let (mut first, mut last) = (None, 0);
            for (i, (&p, &r)) in predicted.iter().zip(reference).enumerate() {
                let (p, r) = (is_in[usize::from(p)], is_in[usize::from(r)]);
                if p || r {
                    counts.add(p, r);
                    first = first.or(Some(i));
                    last = i;
                }
            }
            if let Some(first) = first {
                let (j, k) = (row % dims[1], row / dims[1]);
                bounds.unite(&VoxelBox { start: [first, j, k], end: [last + 1, j + 1, k + 1] });
            }
        }
        if !bounds.is_empty() {
            bounds = bounds.grown(margin, dims);
        }
        let mask =
            |map: &LabelMap| bounds.crop(map.labels(), dims, |code| is_in[usize::from(code)]);
        RegionMasks {
            dims: bounds.dims(),
            predicted: mask(predicted),
            reference: mask(reference),
            counts,
            space: VoxelSpace::new(reference),
        }
    }
}
