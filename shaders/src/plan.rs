//! An execution plan: the dispatches of a run on buffers, with all sizes known before it starts. A
//! plan is a value and needs no GPU.

use model_core::network::lifetimes::{self, BufferAccess, Interval};
use model_core::network::stages::Lowered;
use model_core::{Op, Program, View};

use crate::Error;
use crate::kernels::group_norm::AFFINE_BYTES;
use crate::layout::{levels, quad_bytes};
use crate::weights::{PackedWeights, PackedWeightsSet};

mod builder;
mod choose;
mod dispatches;
mod footprint;
mod fused_moments;
mod norms;
mod options;
mod resampled;
mod step;
mod unit;

pub use footprint::{Footprint, PARAMS_SLOT};
pub use options::{PlanOptions, Preference};
pub(crate) use step::largest;
pub use step::{Binding, SlabRange, Step};

use builder::PlanBuilder;

/// A compiled program.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The program.
    pub program: Program,
    /// The options.
    pub options: PlanOptions,
    /// The preference that chose the options. A smaller plan follows the same preference.
    pub preference: Preference,
    /// Bytes of the buffers that hold feature maps, one after the other.
    pub buffers: Vec<u64>,
    /// Packed parameters and their offsets in one buffer.
    pub weights: Vec<PackedWeights>,
    /// Bytes of the parameters' buffer.
    pub weight_bytes: u64,
    /// Bytes of the norms' chunks.
    pub partials_bytes: u64,
    /// Affine maps of all norms, after as many identities as the widest buffer has channels.
    pub num_affines: usize,
    /// The dispatches in order.
    pub steps: Vec<Step>,
    /// Slabs of the input.
    pub input: Vec<SlabRange>,
    /// Slabs of the output.
    pub output: Vec<SlabRange>,
    /// Memory that a run allocates.
    pub footprint: Footprint,
}

impl Plan {
    /// Checks and compiles a program.
    ///
    /// # Errors
    /// [`Error::Program`] if its operations are inconsistent; [`Error::TooLarge`] if a plane of a
    /// map exceeds a binding.
    pub fn new(program: &Program, options: PlanOptions) -> Result<Plan, Error> {
        crate::check::check(program)?;
        let lowered = Lowered::new(program, options.blocks())?;
        let labels = labels(program);
        let bytes = |map: usize| quad_bytes(labels == Some(map), options.storage);
        let levels = levels(&lowered.maps, bytes, options.slab_bytes)?;
        let mut builder = PlanBuilder {
            program,
            options,
            labels,
            maps: &lowered.maps,
            levels,
            weights: PackedWeightsSet::default(),
            partials_bytes: 16,
            units: Vec::new(),
        };
        let mut stages = lowered.stages.iter().peekable();
        while let Some(stage) = stages.next() {
            let norm = stages.next_if(|next| builder.fuses_moments(stage, next));
            builder.stage(stage, norm);
        }
        let (intervals, buffers) = builder.assign_buffers();
        let ranges = |view, unit| builder.slab_ranges(view, unit, &intervals);
        let last = builder.units.len() + 1;
        let (input, output) = (ranges(&program.input, 0), ranges(&program.output, last));
        let steps = builder.steps(&intervals);
        let (weights, weight_bytes) = builder.weights.finish();
        let mut plan = Plan {
            program: program.clone(),
            options,
            preference: Preference::default(),
            buffers,
            weights,
            weight_bytes,
            partials_bytes: builder.partials_bytes,
            num_affines: lowered.num_affines,
            steps,
            input,
            output,
            footprint: Footprint::default(),
        };
        plan.footprint = plan.measure();
        Ok(plan)
    }

    /// Adds up the memory.
    fn measure(&self) -> Footprint {
        let map_bytes = self.buffers.iter().sum();
        let params = (self.steps.len() * PARAMS_SLOT) as u64;
        let affines = AFFINE_BYTES * self.num_affines as u64;
        let scratch_bytes = self.partials_bytes + affines + params;
        let staging_bytes = largest(&self.input) + largest(&self.output);
        let weight_bytes = self.weight_bytes;
        let total_bytes = map_bytes + scratch_bytes + weight_bytes + staging_bytes;
        Footprint { map_bytes, scratch_bytes, weight_bytes, staging_bytes, total_bytes }
    }

    /// Returns the multiply-adds of all steps.
    pub fn multiply_adds(&self) -> u64 {
        self.steps.iter().map(|step| step.multiply_adds).sum()
    }

    /// Returns the multiply-adds including recomputation at the borders of tiles, and covariances.
    pub fn work(&self) -> u64 {
        self.steps.iter().map(|step| step.cost - step.bytes / 4).sum()
    }
}

/// Returns the map of label codes, if there is one.
fn labels(program: &Program) -> Option<usize> {
    program.ops.iter().find_map(|op| match op {
        Op::Decide { to, .. } => Some(to.buffer),
        _ => None,
    })
}

impl PlanBuilder<'_> {
    /// Assigns buffers to the slabs of all maps.
    fn assign_buffers(&self) -> (Vec<Interval>, Vec<u64>) {
        let whole = |view: &View| -> Vec<BufferAccess> {
            let (map, channels) = (view.buffer, view.channels.clone());
            let slabs = 0..self.level(map).num_slabs();
            slabs.map(|slab| BufferAccess { map, slab, channels: channels.clone() }).collect()
        };
        let [input, output] = [&self.program.input, &self.program.output].map(whole);
        let units = self.units.iter().map(|unit| [&unit.reads[..], &unit.writes[..]]);
        let units = std::iter::once([&[][..], &input[..]]).chain(units).chain([[&output[..], &[]]]);
        lifetimes::assign(units, self.maps, |map, slab| self.slab_bytes(map, slab))
    }

    /// Returns the slabs of a view while a unit runs.
    fn slab_ranges(&self, view: &View, unit: usize, intervals: &[Interval]) -> Vec<SlabRange> {
        let level = self.level(view.buffer);
        let range = |slab| {
            let channel = self.quad_bytes(view.buffer) * level.stride(slab) as u64;
            let planes = level.planes(slab);
            SlabRange {
                buffer: lifetimes::buffer(intervals, view.buffer, slab, unit),
                offset: channel * view.channels.start as u64,
                bytes: channel * view.channels.len() as u64,
                first: planes.start,
                planes: planes.len(),
            }
        };
        (0..level.num_slabs()).map(range).collect()
    }

    /// Returns the dispatches of all units with buffers assigned.
    fn steps(&self, intervals: &[Interval]) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, unit) in self.units.iter().enumerate() {
            steps
                .extend(unit.steps(|map, slab| lifetimes::buffer(intervals, map, slab, index + 1)));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::UNetConfig;

    #[test]
    fn no_dispatch_exceeds_the_default_limits_and_all_work_is_counted_in_every_manner() {
        for preset in model_core::network::config::PRESETS {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            let size = 2 * config.min_size();
            let program = Program::new(&config, [size; 3]).unwrap();
            let fused = Preference { max_fused_channels: usize::MAX, ..Preference::default() };
            let candidates = [Preference::default(), fused].map(choose::candidates);
            for options in candidates.into_iter().flatten() {
                let plan = Plan::new(&program, options).unwrap();
                for step in &plan.steps {
                    assert!(step.workgroups.iter().all(|&n| (1..=65_535).contains(&n)), "{step:?}");
                    assert_eq!(step.params.len(), step.kernel.params_bytes);
                }
                let total = program.total_multiply_adds();
                assert_eq!(plan.multiply_adds(), total, "{preset} {options:?}");
            }
        }
    }

    /// A canceled run waits for one step, and a browser resets a GPU that is busy for too long.
    #[test]
    fn no_dispatch_of_a_whole_volume_does_very_much() {
        for preset in ["mbconv-base", "mbconv-slim", "pendse-baseline", "brugger-1-1"] {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            let program = Program::new(&config, config.padded([240, 240, 155])).unwrap();
            for max_fused_channels in [0, usize::MAX] {
                let preference = Preference { max_fused_channels, ..Preference::default() };
                let plan = Plan::preferring(preference, &program, u64::MAX).unwrap();
                let costly = plan.steps.iter().max_by_key(|step| step.cost).unwrap();
                assert!(costly.cost < 1 << 30, "{preset} {max_fused_channels}: {}", costly.cost);
            }
        }
    }
}
