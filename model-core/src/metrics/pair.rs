//! A region in prediction and reference, cut to the box that holds both.

use super::overlap::{Counts, table};
use crate::LabelMap;

/// A box of voxels, from `low` up to but without `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub low: [usize; 3],
    pub high: [usize; 3],
}

impl Bounds {
    /// The box that holds nothing.
    pub const EMPTY: Bounds = Bounds { low: [usize::MAX; 3], high: [0; 3] };

    /// Grows to hold a voxel.
    pub fn add(&mut self, voxel: [usize; 3]) {
        self.unite(&Bounds { low: voxel, high: voxel.map(|x| x + 1) });
    }

    /// Grows to hold another box.
    pub fn unite(&mut self, other: &Bounds) {
        self.low = std::array::from_fn(|axis| self.low[axis].min(other.low[axis]));
        self.high = std::array::from_fn(|axis| self.high[axis].max(other.high[axis]));
    }

    /// Grown by so many voxels on each side, but not beyond a volume.
    fn grown(&self, margin: usize, dims: [usize; 3]) -> Bounds {
        Bounds {
            low: self.low.map(|low| low.saturating_sub(margin)),
            high: std::array::from_fn(|axis| (self.high[axis] + margin).min(dims[axis])),
        }
    }

    /// Number of voxels along each axis.
    pub fn dims(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.high[axis].saturating_sub(self.low[axis]))
    }

    /// The box's part of a volume of `dims` voxels.
    pub fn cut<T: Copy, U>(
        &self,
        voxels: &[T],
        dims: [usize; 3],
        mut make: impl FnMut(T) -> U,
    ) -> Vec<U> {
        let mut cut = Vec::with_capacity(self.dims().iter().product());
        for k in self.low[2]..self.high[2] {
            for j in self.low[1]..self.high[1] {
                let row = dims[0] * (j + dims[1] * k);
                let row = &voxels[row + self.low[0]..row + self.high[0]];
                cut.extend(row.iter().map(|&voxel| make(voxel)));
            }
        }
        cut
    }
}

/// A region's masks, cut to the box that holds both (and a margin, as far as the volume has it).
/// Beyond the box neither has a voxel.
pub(super) struct Pair {
    pub dims: [usize; 3],
    pub predicted: Vec<bool>,
    pub reference: Vec<bool>,
    pub counts: Counts,
    pub space: Space,
}

/// What distances and volumes need to know of a grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Space {
    /// Between neighboring voxels along i, j, k. Distances take the axes as perpendicular.
    pub spacing_mm: [f64; 3],
    /// Axes along which the volume has a single voxel, and so neither neighbors nor a border.
    pub is_flat: [bool; 3],
}

impl Space {
    pub fn of(map: &LabelMap) -> Space {
        let is_flat = map.grid().dims.map(|n| n == 1);
        Space {
            spacing_mm: map.grid().world_from_voxel.spacing_mm(),
            // A volume of one voxel has a surface nevertheless.
            is_flat: if is_flat == [true; 3] { [false; 3] } else { is_flat },
        }
    }
}

impl Pair {
    /// Of the region that unites `codes`.
    ///
    /// # Panics
    /// If the two have different dimensions.
    pub fn new(predicted: &LabelMap, reference: &LabelMap, codes: &[u8], margin: usize) -> Pair {
        let dims = reference.grid().dims;
        assert_eq!(predicted.grid().dims, dims, "both on one grid");
        let is_in = table(codes);
        let mut counts = Counts::default();
        let mut bounds = Bounds::EMPTY;
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
                bounds.unite(&Bounds { low: [first, j, k], high: [last + 1, j + 1, k + 1] });
            }
        }
        if bounds != Bounds::EMPTY {
            bounds = bounds.grown(margin, dims);
        }
        let cut = |map: &LabelMap| bounds.cut(map.labels(), dims, |code| is_in[usize::from(code)]);
        Pair {
            dims: bounds.dims(),
            predicted: cut(predicted),
            reference: cut(reference),
            counts,
            space: Space::of(reference),
        }
    }
}
