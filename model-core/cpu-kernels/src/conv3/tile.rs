//! A padded plane as one contiguous run, however short its rows are. The convolution and the
//! gradient of its weight use it.
//!
//! In a padded plane one zero separates the rows: the column after a row is the column before the
//! next. *Position* `j · (ni + 1) + i` is voxel (j, i). The taps of output plane k read the padded
//! planes k to k + 2 at that position plus `dj · (ni + 1) + di`.

use crate::channels::Channel;
use crate::vector::MAX_LANES;

/// Input and output channels, and the axes (i, j, k).
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Input channels.
    pub input: usize,
    /// Output channels.
    pub output: usize,
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
}

impl Shape {
    /// Positions from row to row.
    pub fn stride(&self) -> usize {
        self.dims[0] + 1
    }

    /// Voxels per plane.
    pub fn plane(&self) -> usize {
        self.dims[0] * self.dims[1]
    }

    /// Positions per plane.
    pub fn positions(&self) -> usize {
        self.stride() * self.dims[1]
    }

    /// Returns the positions per tile when a plane is cut into equal tiles of at most about `most`
    /// positions.
    pub fn tile_len(&self, most: usize) -> usize {
        let parts = self.positions().div_ceil(most);
        self.positions().div_ceil(parts).next_multiple_of(MAX_LANES)
    }

    /// Returns the tile that begins at position `first`.
    pub fn tile(&self, tile_len: usize, first: usize) -> Tile {
        Tile { positions: tile_len.min(self.positions() - first), tile_len, stride: self.stride() }
    }

    /// Copies the values that the taps read from position `first` on, for plane `k` − 1 of a
    /// channel. Zero outside the volume.
    pub fn pad(&self, to: &mut [f32], map: Channel, k: usize, first: usize) {
        to.fill(0.0);
        if (1..=self.dims[2]).contains(&k) {
            let plane = (k - 1) * self.plane();
            self.row_segments(first, to.len(), self.stride() + 1, |at, from, len| {
                map.load(&mut to[at..at + len], plane + from);
            });
        }
    }

    /// Calls `segment` for each segment of a row among the `len` positions from `first`, with its
    /// index in the run, its index in the plane and its length. The plane's first voxel is at
    /// position `origin`.
    pub fn row_segments(
        &self,
        first: usize,
        len: usize,
        origin: usize,
        mut segment: impl FnMut(usize, usize, usize),
    ) {
        let ni = self.dims[0];
        for j in (first.saturating_sub(origin) / self.stride())..self.dims[1] {
            let row = origin + j * self.stride();
            let (start, end) = (row.max(first), (row + ni).min(first + len));
            if row >= first + len {
                break;
            }
            if start < end {
                segment(start - first, j * ni + start - row, end - start);
            }
        }
    }
}

/// A run of positions of a plane.
#[derive(Clone, Copy)]
pub struct Tile {
    /// Positions before the end of the plane.
    pub positions: usize,
    /// All positions, rounded up to whole vectors.
    pub tile_len: usize,
    /// Positions from row to row.
    pub stride: usize,
}

impl Tile {
    /// Returns the number of padded values of a plane that the taps read.
    pub fn padded_len(&self) -> usize {
        self.tile_len + 2 * self.stride + 2
    }
}
