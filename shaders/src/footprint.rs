//! How many bytes a run needs, known before it starts.

use model_core::{Buffer, Op, Program};

use crate::kernels::{conv3, depthwise_conv, moments, pointwise_conv, stride};

/// What a run allocates on the GPU; a few hundred bytes of settings an operation come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The program's buffers and the norms' sums.
    pub buffer_bytes: u64,
    /// The parameters, as the kernels read them.
    pub weight_bytes: u64,
    /// Copies of the input on its way in and of the result on its way out.
    pub staging_bytes: u64,
    /// All of these.
    pub total_bytes: u64,
}

impl Footprint {
    /// Of a program, whatever its size.
    pub(crate) fn new(program: &Program) -> Footprint {
        let sizes = buffer_sizes(program);
        let of = |buffer: usize| sizes.get(buffer).copied().unwrap_or(0);
        let (partials, statistics) = norm_sizes(program);
        let buffer_bytes = sizes.iter().fold(partials + statistics, |a, b| a.saturating_add(*b));
        let weight_bytes = program.ops.iter().map(packed_bytes).fold(0, u64::saturating_add);
        let staging_bytes = of(program.input.buffer).saturating_add(of(program.output.buffer));
        let total_bytes = buffer_bytes.saturating_add(weight_bytes).saturating_add(staging_bytes);
        Footprint { buffer_bytes, weight_bytes, staging_bytes, total_bytes }
    }
}

/// Voxels of one channel, or the largest number where that overflows.
fn num_voxels(buffer: &Buffer) -> u64 {
    buffer.dims.iter().fold(1, |a, &b| a.saturating_mul(b as u64))
}

/// Bytes of every buffer on the GPU: f32, each channel a whole number of vec4s; a byte a voxel for
/// label codes.
pub fn buffer_sizes(program: &Program) -> Vec<u64> {
    let size = |(index, buffer): (usize, &Buffer)| {
        let is_labels =
            program.ops.iter().any(|op| matches!(op, Op::Decide { to, .. } if to.buffer == index));
        let value_bytes = if is_labels { 1 } else { 4 };
        let channel_bytes = num_voxels(buffer).div_ceil(4).saturating_mul(4 * value_bytes);
        channel_bytes.saturating_mul(buffer.channels as u64)
    };
    program.buffers.iter().enumerate().map(size).collect()
}

/// Bytes of the scratch that all norms share: the chunks' moments, and the groups' statistics.
pub fn norm_sizes(program: &Program) -> (u64, u64) {
    let mut sizes = (moments::PARTIAL_BYTES, moments::STATISTICS_BYTES);
    for op in &program.ops {
        if let Op::GroupNorm { from, groups, .. } = op {
            let Some(buffer) = program.buffers.get(from.buffer) else { continue };
            let chunks = moments::num_chunks(stride(num_voxels(buffer) as usize)) as u64;
            let partials = moments::PARTIAL_BYTES * chunks * from.channels.len() as u64;
            let statistics = moments::STATISTICS_BYTES * *groups as u64;
            sizes = (sizes.0.max(partials), sizes.1.max(statistics));
        }
    }
    sizes
}

/// Bytes of an operation's parameters as its kernel reads them.
pub fn packed_bytes(op: &Op) -> u64 {
    let values = match op {
        Op::Pointwise { from, to, .. } | Op::Reflect { from, to, .. } => {
            pointwise_conv::packed_len(to.channels.len(), from.channels.len())
        }
        Op::Conv3 { from, to, .. } => conv3::packed_len(to.channels.len(), from.channels.len()),
        Op::Depthwise3 { to, .. } => depthwise_conv::packed_len(to.channels.len()),
        Op::GroupNorm { to, .. } => 2 * to.channels.len(),
        Op::Decide { codes, .. } => codes.len(),
        Op::AddInPlace { .. }
        | Op::MaxPool { .. }
        | Op::Upsample { .. }
        | Op::Squeeze { .. }
        | Op::Unsqueeze { .. } => 0,
    };
    4 * values as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;
    use crate::plan::random_weights;
    use model_core::UNetConfig;

    #[test]
    fn a_footprint_is_what_a_plan_allocates() {
        let config = UNetConfig::preset("mbconv-base", 4, 3).unwrap();
        let program = Program::new(&config, [32, 48, 32]).unwrap();
        let plan = Plan::new(&program, &random_weights(&config)).unwrap();
        let footprint = Footprint::new(&program);
        let buffers = plan.buffers.iter().sum::<u64>();
        let scratch = plan.partials_bytes + plan.statistics_bytes;
        assert_eq!(footprint.buffer_bytes, buffers + scratch);
        assert_eq!(buffers, program.buffer_bytes());
        let weights: usize = plan.weights.iter().map(Vec::len).sum();
        assert_eq!(footprint.weight_bytes, weights as u64);
        assert_eq!(footprint.staging_bytes, 4 * (4 + 3) * 32 * 48 * 32);
    }

    #[test]
    fn a_footprint_needs_no_size_that_runs() {
        let config = UNetConfig::preset("demo", 4, 3).unwrap();
        let huge = Program::new(&config, [1 << 20; 3]).unwrap();
        assert!(Footprint::new(&huge).total_bytes > 1 << 60);
    }
}
