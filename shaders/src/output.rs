//! The result of a run.

use model_core::Op;

use crate::kernels::Storage;
use crate::plan::{Plan, SlabRange};
use crate::resources::scatter;

/// Values of a program's output view.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// `[channel][k][j][i]`.
    Logits(Vec<f32>),
    /// Label code of every voxel, `[k][j][i]`, for a program that ends in `Decide`.
    Labels(Vec<u8>),
}

impl Output {
    /// Creates the output of a plan before readback.
    pub(crate) fn empty(plan: &Plan) -> Output {
        let view = &plan.program.output;
        let num_voxels = plan.program.buffers[view.buffer].num_voxels();
        match plan.program.ops.last() {
            Some(Op::Decide { .. }) => Output::Labels(vec![0; num_voxels]),
            _ => Output::Logits(vec![0.0; view.channels.len() * num_voxels]),
        }
    }

    /// Copies a slab that was read back into its place.
    pub(crate) fn put(&mut self, plan: &Plan, part: &SlabRange, bytes: &[u8]) {
        match (self, plan.options.storage) {
            (Output::Labels(map), _) => scatter(bytes, plan, part, |code: u8| code, map),
            (Output::Logits(map), Storage::F32) => scatter(bytes, plan, part, |x: f32| x, map),
            (Output::Logits(map), Storage::F16) => {
                let widened = |bits: u16| half::f16::from_bits(bits).to_f32();
                scatter(bytes, plan, part, widened, map);
            }
        }
    }
}
