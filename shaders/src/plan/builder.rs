//! State while a plan is built.

use model_core::{Buffer, Program};

use super::options::PlanOptions;
use super::unit::Unit;
use crate::layout::{Level, quad_bytes};
use crate::weights::PackedWeightsSet;

/// State while a plan is built.
pub struct PlanBuilder<'a> {
    pub program: &'a Program,
    pub options: PlanOptions,
    pub labels: Option<usize>,
    pub maps: &'a [Buffer],
    pub levels: Vec<Level>,
    pub weights: PackedWeightsSet,
    pub partials_bytes: u64,
    /// Units are numbered from 1. Unit 0 uploads the input; the unit after the last reads the
    /// output.
    pub units: Vec<Unit>,
}

impl PlanBuilder<'_> {
    pub fn level(&self, map: usize) -> Level {
        let dims = self.maps[map].dims;
        *self.levels.iter().find(|level| level.dims == dims).expect("a level for every map")
    }

    pub fn quad_bytes(&self, map: usize) -> u64 {
        quad_bytes(self.labels == Some(map), self.options.storage)
    }

    /// Returns the bytes of a map's slab.
    pub fn slab_bytes(&self, map: usize, slab: usize) -> u64 {
        let values = self.maps[map].channels as u64 * self.level(map).stride(slab) as u64;
        self.quad_bytes(map) * values
    }
}
