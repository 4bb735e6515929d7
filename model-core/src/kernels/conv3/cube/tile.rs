//! The tile of a cube: its blocks of outputs, and the voxels that its units load.

use cubecl::prelude::*;

use super::super::partials;

/// Outputs of a unit. They share each loaded voxel.
pub const BLOCK: usize = 4;
pub type Block = Vector<f32, Const<BLOCK>>;

/// Units that share the voxels of a row, each with its own block of outputs.
pub const GROUPS: usize = partials::BLOCK[0] / BLOCK;

/// Marks an index outside the volume.
pub const OUTSIDE: u32 = u32::MAX;

/// A voxel's index, or the lengths of the axes.
#[derive(CubeType)]
pub struct Point {
    pub i: u32,
    pub j: u32,
    pub k: u32,
}

/// Returns the indices of the values that a unit loads for a tile and its border of one voxel. The
/// tile begins at `corner`.
#[cube]
pub fn places(
    dims: &Point,
    corner: &Point,
    #[comptime] stride: u32,
    #[comptime] lines: u32,
    #[comptime] area: usize,
    #[comptime] units: usize,
) -> Array<u32> {
    let loads = comptime![area.div_ceil(units)];
    let mut places = Array::<u32>::new(loads);
    #[unroll]
    for n in 0..loads {
        let at = UNIT_POS + comptime![(n * units) as u32];
        // Indices are shifted by one, so that none is negative.
        let i = corner.i + at % stride;
        let j = corner.j + at / stride % lines;
        let k = corner.k + at / comptime![stride * lines];
        let is_voxel = at < comptime![area as u32]
            && i >= 1
            && j >= 1
            && k >= 1
            && i <= dims.i
            && j <= dims.j
            && k <= dims.k;
        // Wraps around outside the volume, where the value is not used.
        let place = ((k - 1) * dims.j + j - 1) * dims.i + i - 1;
        places[n] = select(is_voxel, place, OUTSIDE.runtime());
    }
    places
}
