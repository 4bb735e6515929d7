//! A whole program in plain Rust, from the kernels' references: slow, and what the engine is held
//! to.

use model_core::{Op, Program, View, Weights};

use crate::kernels::{
    add, conv3, decide, depthwise_conv, group_norm, max_pool, pointwise_conv, upsample,
};

/// The values of the program's output; label codes are whole numbers.
///
/// # Panics
/// When the program, its weights and the input do not fit each other.
pub fn run(program: &Program, weights: &Weights, input: &[f32]) -> Vec<f32> {
    let voxels_of = |view: &View| program.buffers[view.buffer].num_voxels();
    let range = |view: &View| {
        let voxels = voxels_of(view);
        view.channels.start * voxels..view.channels.end * voxels
    };
    let mut buffers: Vec<Vec<f32>> =
        program.buffers.iter().map(|b| vec![0.0; b.channels * b.num_voxels()]).collect();
    buffers[program.input.buffer][range(&program.input)].copy_from_slice(input);
    for op in &program.ops {
        let to = match op {
            Op::Pointwise { to, .. }
            | Op::Conv3 { to, .. }
            | Op::Depthwise3 { to, .. }
            | Op::AddInPlace { to, .. }
            | Op::MaxPool { to, .. }
            | Op::Upsample { to, .. }
            | Op::Decide { to, .. } => to,
            Op::GroupNorm { on, .. } => on,
        };
        let dims = program.buffers[to.buffer].dims;
        let voxels = voxels_of(to);
        let value = |name: &String| &weights[name].values[..];
        // Taken out so that the others can be read meanwhile.
        let mut target = std::mem::take(&mut buffers[to.buffer]);
        let to_values = &mut target[range(to)];
        let read = |from: &View| &buffers[from.buffer][range(from)];
        match op {
            Op::Pointwise { from, weight, bias, .. } => {
                let bias = bias.as_ref().map(value);
                pointwise_conv::reference(read(from), to_values, value(weight), bias, voxels);
            }
            Op::Conv3 { from, weight, .. } => {
                conv3::reference(read(from), to_values, value(weight), dims);
            }
            Op::Depthwise3 { from, weight, .. } => {
                depthwise_conv::reference(read(from), to_values, value(weight), dims);
            }
            Op::GroupNorm { groups, gamma, beta, activation, .. } => {
                let slope = activation.negative_slope();
                let (gamma, beta) = (value(gamma), value(beta));
                group_norm::reference(to_values, *groups, gamma, beta, slope, voxels);
            }
            Op::AddInPlace { from, .. } => add::reference(read(from), to_values),
            Op::MaxPool { from, .. } => max_pool::reference(read(from), to_values, dims),
            Op::Upsample { from, .. } => {
                upsample::reference(read(from), to_values, dims.map(|d| d / 2));
            }
            Op::Decide { from, codes, exclusive, .. } => {
                let mut labels = vec![0; voxels];
                decide::reference(read(from), &mut labels, codes, *exclusive);
                for (value, label) in to_values.iter_mut().zip(labels) {
                    *value = f32::from(label);
                }
            }
        }
        buffers[to.buffer] = target;
    }
    buffers[program.output.buffer][range(&program.output)].to_vec()
}
