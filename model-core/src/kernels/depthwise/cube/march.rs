//! The march of cubes along k: the division of the channels, and the planes that a cube loads.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::super::super::cube::{ChannelAffine, UNITS, normalized};
use super::super::super::memory::BUSY_CUBES;

/// Division of the channels among cubes.
pub struct MarchPlan {
    pub maps: usize,
    pub channels: usize,
    pub dims: [usize; 3],
    /// Voxels of a tile along i.
    pub width: usize,
    /// Rows of a unit.
    pub rows: usize,
    pub tiles: [usize; 2],
    /// Planes that a cube marches through, and the number of such slabs per channel.
    pub slab: usize,
    pub slabs: usize,
}

impl MarchPlan {
    pub fn new(x: &CubeTensor, most_rows: usize) -> Self {
        let [batch, channels, nk, nj, ni] = x.meta.shape().dims();
        assert!(ni * nj < u32::MAX as usize, "planes of fewer than 2³² voxels, found {ni} × {nj}");
        let maps = batch * channels;
        let width = if ni > 16 { 32 } else { 16 };
        let lines = UNITS / width;
        let rows = nj.div_ceil(lines).next_power_of_two().min(most_rows);
        let tiles = [ni.div_ceil(width), nj.div_ceil(lines * rows)];
        // A slab reads two planes more than it writes.
        let wanted = BUSY_CUBES.div_ceil(maps * tiles[0] * tiles[1]).min(nk.div_ceil(8));
        let slab = nk.div_ceil(wanted);
        let slabs = nk.div_ceil(slab);
        MarchPlan { maps, channels, dims: [ni, nj, nk], width, rows, tiles, slab, slabs }
    }

    /// Returns the number of cubes per channel.
    pub fn spots(&self) -> usize {
        self.tiles[0] * self.tiles[1] * self.slabs
    }

    pub fn march(&self) -> MarchLaunch {
        let ([ni, nj, nk], [tiles_i, tiles_j]) = (self.dims, self.tiles);
        let (maps, channels, slab) = (self.maps, self.channels, self.slab);
        MarchLaunch::new(maps, channels, ni, nj, nk, tiles_i, tiles_j, slab, self.slabs)
    }
}

#[derive(CubeLaunch, CubeType)]
pub struct March {
    pub maps: usize,
    pub channels: usize,
    pub ni: usize,
    pub nj: usize,
    pub nk: usize,
    pub tiles_i: usize,
    pub tiles_j: usize,
    pub slab: usize,
    pub slabs: usize,
}

/// The position of a cube: its channel, the first voxel of its tile, and its planes.
#[derive(CubeType)]
pub struct TileOrigin {
    pub map: usize,
    /// Number among the cubes of the channel.
    pub number: usize,
    pub i: u32,
    pub j: u32,
    pub first: usize,
    pub count: usize,
}

#[cube]
pub fn spot(march: &March, #[comptime] width: usize, #[comptime] height: usize) -> TileOrigin {
    let spots = march.tiles_i * march.tiles_j * march.slabs;
    let number = CUBE_POS % spots;
    let tile_i = number % march.tiles_i;
    let tile_j = number / march.tiles_i % march.tiles_j;
    let first = number / (march.tiles_i * march.tiles_j) * march.slab;
    TileOrigin {
        map: CUBE_POS / spots,
        number,
        i: (tile_i * width) as u32,
        j: (tile_j * height) as u32,
        first,
        count: min(march.slab, march.nk - first),
    }
}

/// Marks an index outside the plane.
pub const OUTSIDE: u32 = u32::MAX;

/// Returns the indices within a plane of the values that a unit loads for the tile and its border
/// of one voxel.
#[cube]
pub fn places(
    march: &March,
    spot: &TileOrigin,
    #[comptime] width: usize,
    #[comptime] area: usize,
) -> Array<u32> {
    let loads = comptime![area.div_ceil(UNITS)];
    let stride = comptime![(width + 2) as u32];
    let mut places = Array::<u32>::new(loads);
    #[unroll]
    for n in 0..loads {
        let at = UNIT_POS + comptime![(n * UNITS) as u32];
        // Indices are shifted by one, so that none is negative.
        let i = spot.i + at % stride;
        let j = spot.j + at / stride;
        let is_voxel = at < comptime![area as u32]
            && i >= 1
            && j >= 1
            && i <= march.ni as u32
            && j <= march.nj as u32;
        // Wraps around outside the plane, where the value is not used.
        let place = (j - 1) * march.ni as u32 + i - 1;
        places[n] = select(is_voxel, place, OUTSIDE.runtime());
    }
    places
}

/// Starts to load a unit's values of plane `plane` − 1; zeros outside the volume.
#[cube]
pub fn fetch<F: Float>(
    x: &[F],
    next: &mut Array<F>,
    places: &Array<u32>,
    march: &March,
    map: usize,
    plane: usize,
    #[comptime] loads: usize,
) {
    let is_plane = plane >= 1 && plane <= march.nk;
    let start = (map * march.nk + plane - 1) * (march.ni * march.nj);
    #[unroll]
    for n in 0..loads {
        next[n] = F::new(0.0);
        if is_plane && places[n] != OUTSIDE {
            next[n] = x[start + places[n] as usize];
        }
    }
}

/// Stores the loaded values of plane `plane` − 1 in the tile, normalized. Values outside the volume
/// stay zero.
#[cube]
pub fn put<F: Float>(
    tile: &mut Shared<[f32]>,
    next: &Array<F>,
    start: usize,
    places: &Array<u32>,
    march: &March,
    plane: usize,
    norm: &ChannelAffine,
    #[comptime] area: usize,
    #[comptime] is_normed: bool,
) {
    let is_plane = plane >= 1 && plane <= march.nk;
    #[unroll]
    for n in 0..comptime![area.div_ceil(UNITS)] {
        let at = UNIT_POS as usize + comptime![n * UNITS];
        if at < area {
            let mut value = f32::cast_from(next[n]);
            if comptime![is_normed] {
                let is_voxel = is_plane && places[n] != OUTSIDE;
                value = select(is_voxel, normalized(value, norm), 0.0f32);
            }
            tile[start + at] = value;
        }
    }
}
