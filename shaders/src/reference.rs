//! Runs a whole program with the kernels' references in plain Rust. Slow; the tests compare the
//! engine with it.

use model_core::{Array, Op, Program, View, Weights};

use crate::kernels::{
    add, conv3, decide, depthwise_conv, group_norm, max_pool, pointwise_conv, space_to_depth,
    upsample,
};

/// Returns the values of the program's output. Label codes are whole numbers.
///
/// # Panics
/// Panics if program, weights and input disagree.
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
        let (from, to) = op.views();
        let dims = program.buffers[to.buffer].dims;
        let voxels = voxels_of(to);
        let value = |name: &String| &weights[name].values[..];
        // Taken out, so that the other buffers can be read meanwhile.
        let mut target = std::mem::take(&mut buffers[to.buffer]);
        let to_values = &mut target[range(to)];
        // Empty if an operation works in place.
        let from_values = buffers[from.buffer].get(range(from)).unwrap_or_default();
        match op {
            Op::Pointwise { weight, bias, .. } => {
                let bias = bias.as_ref().map(value);
                pointwise_conv::reference(from_values, to_values, value(weight), bias, voxels);
            }
            Op::Conv3 { weight, .. } => {
                conv3::reference(from_values, to_values, value(weight), dims);
            }
            Op::Depthwise3 { weight, .. } => {
                depthwise_conv::reference(from_values, to_values, value(weight), dims);
            }
            Op::GroupNorm { groups, gamma, beta, activation, .. } => {
                let slope = activation.negative_slope();
                let (gamma, beta) = (value(gamma), value(beta));
                if from != to {
                    to_values.copy_from_slice(from_values);
                }
                group_norm::reference(to_values, *groups, gamma, beta, slope, voxels);
            }
            Op::AddInPlace { .. } => add::reference(from_values, to_values),
            Op::MaxPool { .. } => max_pool::reference(from_values, to_values, dims),
            Op::Upsample { .. } => {
                upsample::reference(from_values, to_values, dims.map(|d| d / 2));
            }
            Op::AddUpsampled { .. } => {
                let mut up = vec![0.0; to_values.len()];
                upsample::reference(from_values, &mut up, dims.map(|d| d / 2));
                add::reference(&up, to_values);
            }
            Op::SpaceToDepth { .. } => space_to_depth::reference(from_values, to_values, dims),
            Op::DepthToSpace { .. } => {
                space_to_depth::inverse_reference(from_values, to_values, dims.map(|d| d / 2));
            }
            Op::Reflect { vectors, transposed, .. } => {
                to_values.copy_from_slice(from_values);
                reflect(to_values, &weights[vectors], *transposed, voxels);
            }
            Op::Decide { codes, exclusive, .. } => {
                let mut labels = vec![0; voxels];
                decide::reference(from_values, &mut labels, codes, *exclusive);
                for (value, label) in to_values.iter_mut().zip(labels) {
                    *value = f32::from(label);
                }
            }
        }
        buffers[to.buffer] = target;
    }
    buffers[program.output.buffer][range(&program.output)].to_vec()
}

/// Reflects every voxel in one vector after the other, without forming the matrix: the last vector
/// first, or the first if the product is transposed.
///
/// # Shapes
/// `on` `[c][voxels]`, `vectors` `[r, c]`.
fn reflect(on: &mut [f32], vectors: &Array, transposed: bool, voxels: usize) {
    let mut rows: Vec<&[f32]> = vectors.values.chunks_exact(vectors.shape[1]).collect();
    if !transposed {
        rows.reverse();
    }
    for at in 0..voxels {
        for v in &rows {
            let values = on[at..].iter().step_by(voxels).zip(*v);
            let along: f64 = values.map(|(&x, &v)| x as f64 * v as f64).sum();
            let squared: f64 = v.iter().map(|&v| (v as f64).powi(2)).sum();
            if squared > 0.0 {
                for (x, &v) in on[at..].iter_mut().step_by(voxels).zip(*v) {
                    *x -= (2.0 * along / squared * v as f64) as f32;
                }
            }
        }
    }
}
