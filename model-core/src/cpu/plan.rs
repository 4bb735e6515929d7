//! A program planned for the CPU: stages, the buffers of its feature maps, and the memory of a run,
//! known before it starts.

use std::ops::Range;

use cpu_kernels::channels::ChannelAffine;
use cpu_kernels::conv3::Conv3;
use cpu_kernels::covariance::Covariance;
use cpu_kernels::expand_depthwise::ExpandDepthwise;
use cpu_kernels::pointwise::Pointwise;
use cpu_kernels::slab::Slab;
use cpu_kernels::{depthwise, parallel, upsample};

use crate::network::lifetimes::{self, BufferAccess, Interval};
use crate::network::stages::{BlockOptions, Lowered, Source, Stage};
use crate::network::{Buffer, Op, Program, View};
use crate::{Error, Result};

/// One of several parts of a run. Each runs the whole program on a slab of planes along k, and the
/// parts exchange border planes and statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Index of the part.
    pub index: usize,
    /// Number of parts.
    pub count: usize,
}

impl Part {
    /// The only part of a run.
    pub const WHOLE: Part = Part { index: 0, count: 1 };

    /// Returns whether there is a part before this one, and one after it.
    pub fn has_neighbors(self) -> [bool; 2] {
        [self.index > 0, self.index + 1 < self.count]
    }
}

/// A stage, and the norm whose statistics it computes along the way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlannedStage {
    pub stage: Stage,
    /// [`Stage::Moments`] of the stage's output.
    pub moments: Option<Stage>,
}

/// The memory of a run in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuMemory {
    /// Feature maps, among them a copy of the input.
    pub map_bytes: u64,
    /// Packed weights, tiles of all threads, and the norms.
    pub scratch_bytes: u64,
    /// Logits or labels.
    pub output_bytes: u64,
}

impl CpuMemory {
    /// Returns the most bytes that a run has allocated at a time. The output is made when the
    /// scratch is free.
    pub fn total_bytes(self) -> u64 {
        self.map_bytes + self.scratch_bytes.max(self.output_bytes)
    }
}

/// A program that is ready to run on the CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuPlan {
    /// The program.
    pub program: Program,
    /// The part of the run.
    pub part: Part,
    /// Number of ranges that the expanded channels of a block are divided into.
    pub channel_splits: usize,
    /// The memory of a run.
    pub memory: CpuMemory,
    pub(super) maps: Vec<Buffer>,
    pub(super) slabs: Vec<Slab>,
    pub(super) stages: Vec<PlannedStage>,
    pub(super) num_affines: usize,
    pub(super) buffers: Vec<u64>,
    intervals: Vec<Interval>,
}

impl CpuPlan {
    /// Plans a part of a program. Expanded channels of a block are processed in `channel_splits`
    /// ranges: more ranges take less memory and a little more time.
    ///
    /// # Errors
    /// [`Error::Network`] if the program is inconsistent, or has fewer planes than parts.
    pub fn new(program: &Program, part: Part, channel_splits: usize) -> Result<CpuPlan> {
        let options = BlockOptions {
            channel_splits,
            max_fused_channels: usize::MAX,
            min_fused_values: MIN_FUSED_VALUES,
        };
        let lowered = Lowered::new(program, options)?;
        let slabs = slabs(&lowered.maps, part)?;
        let stages = fuse(lowered.stages);
        let labels = labels(program);
        let map_bytes = |map: usize| match labels == Some(map) {
            true => 0,
            false => 4 * lowered.maps[map].channels as u64 * slabs[map].voxels() as u64,
        };
        let accesses: Vec<[Vec<BufferAccess>; 2]> =
            stages.iter().map(|planned| accesses(&planned.stage)).collect();
        let [input, output] = [&program.input, &program.output].map(|view| vec![access(view)]);
        let units = accesses.iter().map(|[reads, writes]| [&reads[..], &writes[..]]);
        let units = std::iter::once([&[][..], &input[..]]).chain(units).chain([[&output[..], &[]]]);
        let (intervals, buffers) = lifetimes::assign(units, &lowered.maps, |map, _| map_bytes(map));
        let mut plan = CpuPlan {
            program: program.clone(),
            part,
            channel_splits,
            memory: CpuMemory::default(),
            maps: lowered.maps,
            slabs,
            stages,
            num_affines: lowered.num_affines,
            buffers,
            intervals,
        };
        plan.memory = plan.measure();
        Ok(plan)
    }

    /// Plans all parts of a program in the fastest way within a budget, or in the way that takes the
    /// least memory if none is.
    ///
    /// # Errors
    /// The errors of [`CpuPlan::new`].
    pub fn within(program: &Program, num_parts: usize, budget_bytes: u64) -> Result<Vec<CpuPlan>> {
        let plans = |channel_splits| -> Result<Vec<CpuPlan>> {
            let parts = (0..num_parts).map(|index| Part { index, count: num_parts });
            parts.map(|part| CpuPlan::new(program, part, channel_splits)).collect()
        };
        let mut smallest = plans(SPLITS[0])?;
        for channel_splits in &SPLITS[1..] {
            if total_bytes(&smallest) <= budget_bytes {
                break;
            }
            let next = plans(*channel_splits)?;
            if total_bytes(&next) < total_bytes(&smallest) {
                smallest = next;
            }
        }
        Ok(smallest)
    }

    /// Returns the most parts that a program can be run in.
    pub fn max_parts(program: &Program) -> usize {
        program.buffers.iter().map(|buffer| buffer.dims[2]).min().unwrap_or(1)
    }

    /// Returns the multiply-adds of this part.
    pub fn multiply_adds(&self) -> u64 {
        let planes = &self.slabs[self.program.input.buffer];
        let all = self.program.buffers[self.program.input.buffer].dims[2] as u64;
        self.program.total_multiply_adds() * planes.own.len() as u64 / all
    }

    /// Returns the planes along k of the input that this part computes.
    pub fn input_planes(&self) -> Range<usize> {
        planes_of(self.program.buffers[self.program.input.buffer].dims[2], &self.maps, self.part)
    }

    /// Returns the buffer of a map during a stage; the input is stage 0, and the first stage 1.
    pub(super) fn buffer(&self, map: usize, unit: usize) -> usize {
        lifetimes::buffer(&self.intervals, map, 0, unit)
    }

    /// Adds up the memory.
    fn measure(&self) -> CpuMemory {
        let threads = parallel::num_threads();
        let scratch = self.stages.iter().map(|planned| {
            let [shared, per_thread] = self.scratch_bytes(&planned.stage);
            shared + threads * per_thread
        });
        let affines = self.num_affines * size_of::<ChannelAffine>();
        let output = &self.slabs[self.program.output.buffer];
        let values = self.program.output.channels.len() as u64 * output.own_voxels().len() as u64;
        let is_labels = labels(&self.program).is_some();
        CpuMemory {
            map_bytes: self.buffers.iter().sum(),
            scratch_bytes: (scratch.max().unwrap_or(0) + affines) as u64,
            output_bytes: values * if is_labels { 1 } else { 4 },
        }
    }

    /// Returns the bytes of scratch that a stage needs once, and for each thread.
    fn scratch_bytes(&self, stage: &Stage) -> [usize; 2] {
        let dims = |source: &Source| self.slabs[source.view.buffer].dims;
        match stage {
            Stage::Pointwise { rows, cols, .. } => Pointwise::scratch_bytes(cols.len(), rows.len()),
            Stage::Expansion { from, .. } => Covariance::scratch_bytes(from.view.channels.len()),
            Stage::ExpandDepthwise { from, channels, .. } => {
                let input = from.view.channels.len();
                ExpandDepthwise::scratch_bytes(input, channels.len(), dims(from))
            }
            Stage::Conv3 { from, to, .. } => {
                Conv3::scratch_bytes(from.view.channels.len(), to.channels.len(), dims(from))
            }
            Stage::Depthwise { from, .. } => [0, depthwise::scratch_bytes(dims(from))],
            Stage::Upsample { from, .. } => [0, upsample::scratch_bytes(dims(from))],
            _ => [0, 0],
        }
    }
}

/// Returns the memory of all parts.
pub fn total_bytes(parts: &[CpuPlan]) -> u64 {
    parts.iter().map(|part| part.memory.total_bytes()).sum()
}

/// Fewest expanded values of fused blocks. Fewer stay in a core's own cache, and their statistics
/// cost more when computed from those of the block's input.
const MIN_FUSED_VALUES: usize = 1 << 18;

/// Ranges of channels to try, the fastest first: two take no longer than one.
const SPLITS: [usize; 3] = [2, 4, usize::MAX];

/// Returns the planes of a level of `nk` planes that belong to a part: whole planes of the coarsest
/// level.
fn planes_of(nk: usize, maps: &[Buffer], part: Part) -> Range<usize> {
    let coarsest = maps.iter().map(|map| map.dims[2]).min().unwrap_or(1);
    let bound = |index: usize| index * coarsest / part.count * (nk / coarsest);
    bound(part.index)..bound(part.index + 1)
}

/// Returns the slab of each map.
fn slabs(maps: &[Buffer], part: Part) -> Result<Vec<Slab>> {
    let coarsest = maps.iter().map(|map| map.dims[2]).min().unwrap_or(1);
    if part.count > coarsest {
        let expected = format!("at most as many parts as planes, {coarsest}");
        return Err(Error::network(expected, part.count));
    }
    let [before, after] = part.has_neighbors().map(usize::from);
    let of_map = |map: &Buffer| {
        let [ni, nj, nk] = map.dims;
        let own = planes_of(nk, maps, part).len();
        Slab { dims: [ni, nj, own + before + after], own: before..before + own }
    };
    Ok(maps.iter().map(of_map).collect())
}

/// Joins stages with the norm of their output where their kernels compute its statistics.
fn fuse(stages: Vec<Stage>) -> Vec<PlannedStage> {
    let mut planned: Vec<PlannedStage> = Vec::new();
    for stage in stages {
        if let (Stage::Moments { from, .. }, Some(last)) = (&stage, planned.last_mut())
            && let Stage::Pointwise { to, .. }
            | Stage::ExpandDepthwise { to, .. }
            | Stage::Conv3 { to, .. }
            | Stage::Depthwise { to, .. } = &last.stage
            && from == to
            && last.moments.is_none()
        {
            last.moments = Some(stage);
            continue;
        }
        planned.push(PlannedStage { stage, moments: None });
    }
    planned
}

/// Returns the map of label codes, if there is one.
fn labels(program: &Program) -> Option<usize> {
    program.ops.iter().find_map(|op| match op {
        Op::Decide { to, .. } => Some(to.buffer),
        _ => None,
    })
}

fn access(view: &View) -> BufferAccess {
    BufferAccess { map: view.buffer, slab: 0, channels: view.channels.clone() }
}

/// Returns what a stage reads and what it writes.
fn accesses(stage: &Stage) -> [Vec<BufferAccess>; 2] {
    let (reads, writes): (Vec<&View>, Option<&View>) = match stage {
        Stage::Pointwise { from, to, adds_to_output: true, .. }
        | Stage::Add { from, to, .. }
        | Stage::Upsample { from, to, own: Some(_) } => (vec![&from.view, to], Some(to)),
        Stage::Pointwise { from, to, .. }
        | Stage::ExpandDepthwise { from, to, .. }
        | Stage::Conv3 { from, to, .. }
        | Stage::Depthwise { from, to, .. }
        | Stage::NormalizeInto { from, to }
        | Stage::MaxPool { from, to }
        | Stage::Upsample { from, to, own: None }
        | Stage::SpaceToDepth { from, to }
        | Stage::DepthToSpace { from, to }
        | Stage::Decide { from, to, .. } => (vec![&from.view], Some(to)),
        Stage::Expansion { from, .. } => (vec![&from.view], None),
        Stage::Moments { from, .. } => (vec![from], None),
        Stage::NormalizeInPlace { to, .. } => (vec![to], Some(to)),
    };
    [reads.into_iter().map(access).collect(), writes.into_iter().map(access).collect()]
}

impl Stage {
    /// Returns the view whose planes beyond the slab the stage reads.
    pub(super) fn reads_borders_of(&self) -> Option<&View> {
        match self {
            Stage::ExpandDepthwise { from, .. }
            | Stage::Conv3 { from, .. }
            | Stage::Depthwise { from, .. }
            | Stage::Upsample { from, .. } => Some(&from.view),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UNetConfig;

    fn program(preset: &str, dims: [usize; 3]) -> Program {
        Program::new(&UNetConfig::preset(preset, 4, 3).unwrap(), dims).unwrap()
    }

    #[test]
    fn fewer_channels_at_a_time_take_less_memory() {
        let program = program("demo", [64; 3]);
        let bytes =
            |splits| CpuPlan::new(&program, Part::WHOLE, splits).unwrap().memory.total_bytes();
        assert!(bytes(1) > bytes(2) && bytes(2) > bytes(usize::MAX));
        let smallest = bytes(usize::MAX);
        let within = |budget| total_bytes(&CpuPlan::within(&program, 1, budget).unwrap());
        assert_eq!([within(u64::MAX), within(smallest), within(1)], [bytes(2), smallest, smallest]);
    }

    /// The parts of every level follow one another and are of whole planes.
    #[test]
    fn parts_cover_all_planes_once() {
        let program = program("mbconv-slim", [32, 32, 7 * 16]);
        assert_eq!(CpuPlan::max_parts(&program), 7);
        for count in [1, 2, 3, 7] {
            let plans = CpuPlan::within(&program, count, u64::MAX).unwrap();
            for map in 0..program.buffers.len() {
                let nk = program.buffers[map].dims[2];
                let planes = plans.iter().map(|plan| planes_of(nk, &plan.maps, plan.part));
                let end = planes.fold(0, |end, planes| {
                    assert!(planes.start == end && !planes.is_empty());
                    planes.end
                });
                assert_eq!(end, nk);
            }
            let work: u64 = plans.iter().map(CpuPlan::multiply_adds).sum();
            assert_eq!(work, program.total_multiply_adds());
        }
        assert!(CpuPlan::within(&program, 8, u64::MAX).is_err());
    }
}
