//! The operations of the networks, composed of burn's own.

use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};

use crate::kernel_pass::{
    Operands, Operation, loss_labels, loss_task, num_groups, scale_and_shift,
};

/// Returns the operation. `operands` are those of the loss, whose reference depends on their shape.
pub fn operation(operation: Operation, operands: &Operands) -> impl Fn(&Operands) -> Tensor<5> {
    let reference = (operation == Operation::Loss).then(|| loss_reference(&operands.x));
    move |operands| {
        let Operands { x, weight } = operands.clone();
        let [outputs, inputs, ..] = weight.dims();
        match operation {
            Operation::Depthwise => conv(x, weight, 1, outputs),
            Operation::Pointwise => conv(x, weight, 0, 1),
            Operation::Conv3 => conv(x, weight, 1, 1),
            Operation::GroupNorm => group_norm_relu(x, weight, num_groups(inputs)),
            Operation::MaxPool => max_pool(x),
            Operation::Upsample => upsample(x),
            Operation::UpsampleAdd => upsample(x) + weight,
            Operation::Add => x + weight,
            Operation::Loss => loss_gradient(x, reference.clone().expect("made for the loss")),
        }
    }
}

fn conv(x: Tensor<5>, weight: Tensor<5>, padding: usize, groups: usize) -> Tensor<5> {
    conv3d(x, weight, None, ConvOptions::new([1; 3], [padding; 3], [1; 3], groups))
}

fn group_norm_relu(x: Tensor<5>, weight: Tensor<5>, groups: usize) -> Tensor<5> {
    let [b, c, k, j, i] = x.dims();
    let x = x.reshape([b * groups, c / groups * k * j * i]);
    let (variance, mean) = x.clone().var_mean_bias(1);
    let x = ((x - mean) / (variance + 1e-5).sqrt()).reshape([b, c, k, j, i]);
    let [gamma, beta] = scale_and_shift(weight).map(|t| t.reshape([1, c, 1, 1, 1]));
    relu(x * gamma + beta)
}

/// 2³ max pooling, axis by axis.
fn max_pool(x: Tensor<5>) -> Tensor<5> {
    let [b, c, k, j, i] = x.dims();
    let x = x.reshape([b * c, k, j, i / 2, 2]).max_dim(4);
    let x = x.reshape([b * c, k, j / 2, 2, i / 2]).max_dim(3);
    let x = x.reshape([b * c, k / 2, 2, j / 2, i / 2]).max_dim(2);
    x.reshape([b, c, k / 2, j / 2, i / 2])
}

/// Trilinear up-sampling by two, axis by axis.
fn upsample(x: Tensor<5>) -> Tensor<5> {
    let [b, c, k, j, i] = x.dims();
    let double = |x: Tensor<4>, axis: usize| {
        let mut shape = x.dims();
        let n = shape[axis];
        shape[axis] = 2 * n;
        let slice = |start: usize, count: usize| x.clone().narrow(axis, start, count);
        // The border value continues beyond the border.
        let count = (n - 1).max(1);
        let before = Tensor::cat(vec![slice(0, 1), slice(0, count)], axis);
        let after = Tensor::cat(vec![slice(n - count, count), slice(n - 1, 1)], axis);
        let blend = |neighbor: Tensor<4>| -> Tensor<5> {
            (x.clone() * 0.75 + neighbor.narrow(axis, 0, n) * 0.25).unsqueeze_dim(axis + 1)
        };
        Tensor::cat(vec![blend(before), blend(after)], axis + 1).reshape(shape)
    };
    (1..4).fold(x.reshape([b * c, k, j, i]), double).reshape([b, c, 2 * k, 2 * j, 2 * i])
}

/// Returns 1 inside each region of the loss and 0 outside, in the shape of the logits.
fn loss_reference(logits: &Tensor<5>) -> Tensor<5> {
    let [b, outputs, k, j, i] = logits.dims();
    let (task, labels) = (loss_task(), loss_labels(b, [i, j, k]));
    let mut values = Vec::with_capacity(b * outputs * k * j * i);
    for labels in labels.chunks(k * j * i) {
        for region in &task.regions {
            values.extend(labels.iter().map(|c| f32::from(u8::from(region.labels.contains(c)))));
        }
    }
    Tensor::from_data(TensorData::new(values, [b, outputs, k, j, i]), &logits.device())
}

/// Returns the gradient of the mean cross-entropy plus the mean soft Dice loss, smoothed by one.
fn loss_gradient(logits: Tensor<5>, reference: Tensor<5>) -> Tensor<5> {
    let [_, outputs, ..] = logits.dims();
    let (x, reference) = (logits.autodiff().require_grad(), reference.autodiff());
    let entropy =
        relu(x.clone()) - x.clone() * reference.clone() + (-x.clone().abs()).exp().log1p();
    let sum = |t: Tensor<5>| -> Tensor<1> {
        t.swap_dims(0, 1).reshape([outputs as i32, -1]).sum_dim(1).reshape([outputs])
    };
    let p = sigmoid(x.clone());
    let overlap = sum(p.clone() * reference.clone());
    let dice = (overlap * 2.0 + 1.0) / (sum(p) + sum(reference) + 1.0);
    let loss = entropy.mean() - dice.mean();
    x.grad(&loss.backward()).expect("the loss depends on the logits")
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType};

    use super::*;
    use crate::kernel_pass::kernel_passes;
    use trainer_train::adam::numbers;

    #[test]
    fn the_composed_operations_compute_the_same_as_our_kernels() {
        let (dims, device) = ([6, 4, 2], Device::flex());
        for op in kernel_passes().into_iter().map(|pass| pass.operation) {
            let operands = op.operands(2, op.channels(30), dims, FloatDType::F32, &device);
            let theirs = operation(op, &operands)(&operands);
            let ours = op.ours(2, dims)(&operands);
            assert_eq!(ours.dims(), theirs.dims(), "{op:?}");
            let (ours, theirs) = (numbers(ours), numbers(theirs));
            let largest = ours.iter().fold(0f32, |max, v| max.max(v.abs()));
            let pairs = ours.iter().zip(&theirs);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(worst < 1e-5 * largest, "{op:?}: {worst} of {largest}");
        }
    }
}
