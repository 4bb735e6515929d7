//! The layout of feature maps on the GPU: all maps of one size lie in slabs of the same number of
//! planes along k, each slab in a buffer of its own, with rows padded to whole quads.

use std::ops::Range;

use model_core::Buffer;

use crate::Error;
use crate::kernels::{Storage, quads};

/// Largest storage binding under WebGPU's default limits.
pub const MAX_BINDING_BYTES: u64 = 128 << 20;

/// Layout of all feature maps of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
    /// Planes per slab; the last slab may have fewer.
    pub height: usize,
}

impl Level {
    /// Returns the number of slabs.
    pub fn num_slabs(&self) -> usize {
        self.dims[2].div_ceil(self.height)
    }

    /// Returns the planes of a slab; an empty range beyond the last.
    pub fn planes(&self, slab: usize) -> Range<usize> {
        let start = (slab * self.height).min(self.dims[2]);
        start..(start + self.height).min(self.dims[2])
    }

    /// Returns the quads of a plane.
    pub fn plane_quads(&self) -> usize {
        quads(self.dims[0]) * self.dims[1]
    }

    /// Returns the quads of one channel of a slab.
    pub fn stride(&self, slab: usize) -> usize {
        self.plane_quads() * self.planes(slab).len()
    }
}

/// Returns the layouts for some feature maps. The widest map of each size decides the height of the
/// slabs.
///
/// # Errors
/// [`Error::TooLarge`] if a single plane of a map does not fit a binding.
pub fn levels(
    maps: &[Buffer],
    quad_bytes: impl Fn(usize) -> u64,
    most_bytes: u64,
) -> Result<Vec<Level>, Error> {
    let mut levels: Vec<Level> = Vec::new();
    for (index, map) in maps.iter().enumerate() {
        let [ni, nj, nk] = map.dims;
        let plane = quad_bytes(index)
            .saturating_mul(map.channels as u64)
            .saturating_mul(quads(ni) as u64)
            .saturating_mul(nj as u64);
        if plane > MAX_BINDING_BYTES {
            return Err(Error::TooLarge {
                channels: map.channels,
                dims: map.dims,
                bytes: plane,
                limit_bytes: MAX_BINDING_BYTES,
            });
        }
        let height = ((most_bytes / plane.max(1)) as usize).clamp(1, nk);
        match levels.iter_mut().find(|level| level.dims == map.dims) {
            Some(level) => level.height = level.height.min(height),
            None => levels.push(Level { dims: map.dims, height }),
        }
    }
    for level in &mut levels {
        // The same number of slabs, with nearly equal heights.
        level.height = level.dims[2].div_ceil(level.num_slabs());
    }
    Ok(levels)
}

/// Returns the bytes of four voxels. Label codes take one byte each.
pub fn quad_bytes(is_labels: bool, storage: Storage) -> u64 {
    if is_labels { 4 } else { storage.quad_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_cover_every_plane_once_and_fit_their_bytes() {
        for (channels, dims, most) in
            [(30, [9, 7, 50], 40_000), (1, [4, 4, 1], 1), (3, [5, 3, 17], 1 << 20)]
        {
            let maps = [Buffer { channels, dims }, Buffer { channels: 1, dims }];
            let level = levels(&maps, |_| 16, most).unwrap()[0];
            let planes: Vec<usize> =
                (0..level.num_slabs()).flat_map(|slab| level.planes(slab)).collect();
            assert_eq!(planes, (0..dims[2]).collect::<Vec<_>>());
            let bytes = 16 * channels as u64 * level.stride(0) as u64;
            assert!(bytes <= most || level.height == 1, "{bytes} of {most}");
            assert!(level.planes(level.num_slabs()).is_empty());
        }
    }

    #[test]
    fn a_plane_that_no_binding_holds_is_refused() {
        let maps = [Buffer { channels: 1000, dims: [512, 512, 4] }];
        let refused = levels(&maps, |_| 16, 1 << 20);
        assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    }
}
