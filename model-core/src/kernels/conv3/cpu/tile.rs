//! What both kernels see of a map: a plane as one run, however short its rows are.
//!
//! Padded, a plane's rows lie one zero apart: the column behind a row and the one before the next
//! are the same. *Position* `j · (ni + 1) + i` is voxel (j, i); the taps of output plane k see the
//! padded planes k to k + 2 at that place plus `dj · (ni + 1) + di`.

use super::super::super::cpu::Channel;

/// Every number of lanes in the kernels divides it.
const WIDEST: usize = 32;

/// Channels in and out, and (i, j, k).
#[derive(Clone, Copy)]
pub struct Shape {
    pub input: usize,
    pub output: usize,
    pub dims: [usize; 3],
}

impl Shape {
    /// Positions from row to row.
    pub fn stride(&self) -> usize {
        self.dims[0] + 1
    }

    /// Voxels of a plane.
    pub fn plane(&self) -> usize {
        self.dims[0] * self.dims[1]
    }

    /// Positions of a plane.
    pub fn positions(&self) -> usize {
        self.stride() * self.dims[1]
    }

    /// Positions of tiles that cut a plane into equal parts, at most about `most` each.
    pub fn tile_len(&self, most: usize) -> usize {
        let parts = self.positions().div_ceil(most);
        self.positions().div_ceil(parts).next_multiple_of(WIDEST)
    }

    /// The tile at `first`.
    pub fn tile(&self, tile_len: usize, first: usize) -> Tile {
        Tile { positions: tile_len.min(self.positions() - first), tile_len, stride: self.stride() }
    }

    /// Copies what the taps at `first` and on see of plane `k` − 1 of a map; zero beyond it.
    pub fn pad(&self, to: &mut [f32], map: Channel, k: usize, first: usize) {
        to.fill(0.0);
        if (1..=self.dims[2]).contains(&k) {
            let plane = (k - 1) * self.plane();
            self.row_segments(first, to.len(), self.stride() + 1, |at, from, len| {
                map.load(&mut to[at..at + len], plane + from);
            });
        }
    }

    /// The pieces of rows among the `len` positions from `first`, where the plane's first voxel is
    /// at `origin`: where each is in the run, where in the plane, and its length.
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
    /// Those before the plane's end.
    pub positions: usize,
    /// All, whole vectors.
    pub tile_len: usize,
    /// Positions from row to row.
    pub stride: usize,
}

impl Tile {
    /// Padded values of a plane that the taps see.
    pub fn padded_len(&self) -> usize {
        self.tile_len + 2 * self.stride + 2
    }
}

/// `a · b + c`; `FUSED` only where the machine has the instruction, else it would be a call.
#[inline(always)]
pub fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
