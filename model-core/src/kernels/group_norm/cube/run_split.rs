//! The division of runs of vectors among cubes.

use cubecl::prelude::*;

use super::super::super::cube::UNITS;
use super::super::Layout;

/// Vectors of a run that a unit processes one after the other.
pub const STRIDES: usize = 16;

/// The division of runs of vectors among cubes.
#[derive(Clone, Copy)]
pub struct RunSplit {
    /// Values per vector.
    pub vector: usize,
    /// Vectors per run.
    pub run: usize,
    /// Parts per run.
    pub parts: usize,
    /// Parts of all runs.
    pub cubes: usize,
}

impl RunSplit {
    /// # Panics
    /// Panics if the vector size does not divide the run.
    pub fn new(vector: usize, num_elements: usize, runs: usize) -> RunSplit {
        assert!(
            num_elements.is_multiple_of(vector),
            "{vector} values do not divide {num_elements}"
        );
        let run = num_elements / vector;
        let parts = run.div_ceil(UNITS * STRIDES);
        RunSplit { vector, run, parts, cubes: runs * parts }
    }

    pub fn place(self, layout: Layout) -> ChunkPositionLaunch {
        let RunSplit { run, parts, cubes, .. } = self;
        ChunkPositionLaunch::new(run, parts, cubes, layout.channels, layout.channels_per_group())
    }
}

/// The position of a cube.
#[derive(CubeLaunch, CubeType)]
pub struct ChunkPosition {
    /// Vectors of a channel of a sample.
    pub run: usize,
    /// Parts of a channel.
    pub parts: usize,
    /// Parts of all channels.
    pub cubes: usize,
    pub channels: usize,
    /// Channels per group.
    pub channels_per_group: usize,
}

/// Returns the range of vectors that this cube processes.
#[cube]
pub fn part(run: usize, parts: usize) -> (usize, usize) {
    let first = CUBE_POS / parts * run;
    let start = CUBE_POS % parts * comptime![UNITS * STRIDES];
    let end = min(start + comptime![UNITS * STRIDES], run);
    (first + start, first + end)
}
