//! A slab of planes of a feature map.

use std::ops::Range;

/// Planes that a part of a run stores of every channel: its own, and a copy of one plane of each
/// neighboring part, where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slab {
    /// Voxels along i and j, and stored planes.
    pub dims: [usize; 3],
    /// Stored planes that are the part's own.
    pub own: Range<usize>,
}

impl Slab {
    /// Returns the slab that is the whole map.
    pub fn whole(dims: [usize; 3]) -> Slab {
        Slab { dims, own: 0..dims[2] }
    }

    /// Returns the voxels of a plane.
    pub fn plane(&self) -> usize {
        self.dims[0] * self.dims[1]
    }

    /// Returns the stored voxels of a channel.
    pub fn voxels(&self) -> usize {
        self.plane() * self.dims[2]
    }

    /// Returns the range of the part's own voxels in a channel.
    pub fn own_voxels(&self) -> Range<usize> {
        self.own.start * self.plane()..self.own.end * self.plane()
    }
}
