//! Division of the weight gradient on a GPU. The memory estimate uses it without a GPU.

use super::super::memory::BUSY_CUBES;

/// Output and input channels of a cube.
pub const BLOCK: [usize; 2] = [32, 8];

/// Voxels of a tile along i, j, k.
pub const TILE: [usize; 3] = [16, 2, 1];

/// Returns the number of parts that the tiles are divided into. Each part has its own sums for all
/// weights.
pub fn num_parts(from: usize, to: usize, batch: usize, dims: [usize; 3]) -> usize {
    let blocks = to.div_ceil(BLOCK[0]) * from.div_ceil(BLOCK[1]);
    let tiles = std::array::from_fn::<_, 3, _>(|axis| dims[axis].div_ceil(TILE[axis]));
    let tiles = tiles.iter().fold(batch, |product, &axis| product.saturating_mul(axis));
    BUSY_CUBES.div_ceil(blocks.max(1)).min(tiles)
}
