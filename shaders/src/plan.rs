//! A run as dispatches on buffers, known to the byte before it starts. A value; needs no GPU.

use model_core::{Buffer, Op, Program};

use crate::Error;
use crate::kernels::{Constants, Kernel, Storage};
use crate::layout::{Level, levels, quad_bytes};
use crate::lower::Lowered;
use crate::weights::{PackedWeights, PackedWeightsSet};

mod choose;
mod counted;
mod dispatches;
mod live;
mod norms;
mod resampled;
mod unit;

pub(crate) use choose::largest;
pub use choose::{Footprint, PARAMS_SLOT, Preference};

use live::Interval;
use unit::Unit;

/// What is bound to a kernel beside its `params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// One of [`Plan::buffers`].
    Buffer(usize),
    /// One of [`Plan::pieces`].
    Weights(usize),
    /// The norms' chunks.
    Partials,
    /// The norms' affines.
    Affines,
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Its entry point.
    pub entry: &'static str,
    /// Its `Params`.
    pub params: Vec<u8>,
    /// What it is compiled for.
    pub constants: Constants,
    /// Its bindings from 1 on (0 is `params`), with their numbers.
    pub bindings: Vec<(u32, Binding)>,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
    /// Multiply-adds, and values moved: a rough measure of its time.
    pub cost: u64,
    /// Multiply-adds alone.
    pub multiply_adds: u64,
    /// Bytes of maps that it reads and writes at least.
    pub bytes: u64,
}

/// A slab of the input or of the output, where it is put or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlabRange {
    /// One of [`Plan::buffers`].
    pub buffer: usize,
    /// Bytes before it.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its first plane, and how many.
    pub first: usize,
    /// Planes.
    pub planes: usize,
}

/// The way that a program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// In what maps are stored.
    pub storage: Storage,
    /// A block's expanded channels are taken in so many parts, one after the other, or group by group.
    pub parts: usize,
    /// Blocks of at most so many channels are expanded and filtered at once, so that expanded channels
    /// are never in memory; where there are any, 1³ convolutions take the statistics of what they write.
    /// It saves bytes and costs work.
    pub most_fused: usize,
    /// No slab takes more bytes, unless a plane does.
    pub slab_bytes: u64,
}

/// A program as the engine runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is run.
    pub program: Program,
    /// How.
    pub manner: PlanOptions,
    /// What it was chosen by; a smaller one is chosen by the same.
    pub preference: Preference,
    /// Bytes of the buffers that maps lie in, one map after the other.
    pub buffers: Vec<u64>,
    /// The parameters as the kernels read them, and where in their common buffer.
    pub pieces: Vec<PackedWeights>,
    /// Bytes of that buffer.
    pub weight_bytes: u64,
    /// Bytes of the norms' chunks.
    pub partials_bytes: u64,
    /// Affines of all norms, after as many identities as the widest buffer has channels.
    pub num_affines: usize,
    /// The dispatches in order.
    pub steps: Vec<Step>,
    /// Where the input is put.
    pub input: Vec<SlabRange>,
    /// Where the output is found.
    pub output: Vec<SlabRange>,
    /// What it allocates.
    pub footprint: Footprint,
}

impl Plan {
    /// Checks a program and lays it out.
    ///
    /// # Errors
    /// [`Error::Program`] when its operations do not fit each other; [`Error::TooLarge`] when a
    /// plane of a map exceeds a binding.
    pub fn new(program: &Program, manner: PlanOptions) -> Result<Plan, Error> {
        crate::check::check(program)?;
        let lowered = Lowered::new(program, manner)?;
        let labels = labels(program);
        let bytes = |map: usize| quad_bytes(labels == Some(map), manner.storage);
        let levels = levels(&lowered.maps, bytes, manner.slab_bytes)?;
        let mut draft = PlanBuilder {
            program,
            manner,
            labels,
            maps: &lowered.maps,
            levels,
            pieces: PackedWeightsSet::default(),
            partials_bytes: 16,
            units: Vec::new(),
        };
        let mut stages = lowered.stages.iter().peekable();
        while let Some(stage) = stages.next() {
            let counted = stages.next_if(|next| draft.is_counted(stage, next));
            draft.stage(stage, counted);
        }
        let (intervals, buffers) = live::assign(&draft);
        let parts = |view, unit| draft.parts(view, unit, &intervals);
        let last = draft.units.len() + 1;
        let (input, output) = (parts(&program.input, 0), parts(&program.output, last));
        let steps = draft.steps(&intervals);
        let (pieces, weight_bytes) = draft.pieces.finish();
        let mut plan = Plan {
            program: program.clone(),
            manner,
            preference: Preference::default(),
            buffers,
            pieces,
            weight_bytes,
            partials_bytes: draft.partials_bytes,
            num_affines: lowered.num_affines,
            steps,
            input,
            output,
            footprint: Footprint::default(),
        };
        plan.footprint = Footprint::of(&plan);
        Ok(plan)
    }

    /// Multiply-adds of all steps.
    pub fn multiply_adds(&self) -> u64 {
        self.steps.iter().map(|step| step.multiply_adds).sum()
    }

    /// Those that are done: also what is computed again at the borders of tiles, and covariances.
    pub fn work(&self) -> u64 {
        self.steps.iter().map(|step| step.cost - step.bytes / 4).sum()
    }
}

/// The map of label codes, if there is one.
fn labels(program: &Program) -> Option<usize> {
    program.ops.iter().find_map(|op| match op {
        Op::Decide { to, .. } => Some(to.buffer),
        _ => None,
    })
}

/// A plan being made.
struct PlanBuilder<'a> {
    program: &'a Program,
    manner: PlanOptions,
    labels: Option<usize>,
    maps: &'a [Buffer],
    levels: Vec<Level>,
    pieces: PackedWeightsSet,
    partials_bytes: u64,
    /// Units are numbered from 1: 0 is the input's coming, and what follows the last the output's
    /// going.
    units: Vec<Unit>,
}

impl PlanBuilder<'_> {
    fn level(&self, map: usize) -> Level {
        let dims = self.maps[map].dims;
        *self.levels.iter().find(|level| level.dims == dims).expect("a level for every map")
    }

    fn quad_bytes(&self, map: usize) -> u64 {
        quad_bytes(self.labels == Some(map), self.manner.storage)
    }

    /// Bytes of a map's slab.
    fn slab_bytes(&self, map: usize, slab: usize) -> u64 {
        let values = self.maps[map].channels as u64 * self.level(map).stride(slab) as u64;
        self.quad_bytes(map) * values
    }

    /// Where a view lies at a time.
    fn parts(
        &self,
        view: &model_core::View,
        unit: usize,
        intervals: &[Interval],
    ) -> Vec<SlabRange> {
        let level = self.level(view.buffer);
        let part = |slab| {
            let channel = self.quad_bytes(view.buffer) * level.stride(slab) as u64;
            let planes = level.planes(slab);
            SlabRange {
                buffer: live::buffer(intervals, view.buffer, slab, unit),
                offset: channel * view.channels.start as u64,
                bytes: channel * view.channels.len() as u64,
                first: planes.start,
                planes: planes.len(),
            }
        };
        (0..level.num_slabs()).map(part).collect()
    }

    /// The units' dispatches, bound to the buffers that maps lie in.
    fn steps(&self, intervals: &[Interval]) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, unit) in self.units.iter().enumerate() {
            steps.extend(unit.steps(|map, slab| live::buffer(intervals, map, slab, index + 1)));
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
            let fused = Preference { most_fused: usize::MAX, ..Preference::default() };
            let manners = [Preference::default(), fused].map(choose::manners);
            for manner in manners.into_iter().flatten() {
                let plan = Plan::new(&program, manner).unwrap();
                for step in &plan.steps {
                    assert!(step.workgroups.iter().all(|&n| (1..=65_535).contains(&n)), "{step:?}");
                    assert_eq!(step.params.len(), step.kernel.params_bytes);
                }
                let total = program.total_multiply_adds();
                assert_eq!(plan.multiply_adds(), total, "{preset} {manner:?}");
            }
        }
    }

    /// A run that is cancelled waits for one, and a browser resets a GPU that is held too long.
    #[test]
    fn no_dispatch_of_a_whole_volume_does_very_much() {
        for preset in ["mbconv-base", "mbconv-slim", "pendse-baseline", "brugger-1-1"] {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            let program = Program::new(&config, config.padded([240, 240, 155])).unwrap();
            for most_fused in [0, usize::MAX] {
                let preference = Preference { most_fused, ..Preference::default() };
                let plan = Plan::preferring(preference, &program, u64::MAX).unwrap();
                let costly = plan.steps.iter().max_by_key(|step| step.cost).unwrap();
                assert!(costly.cost < 1 << 30, "{preset} {most_fused}: {}", costly.cost);
            }
        }
    }
}
