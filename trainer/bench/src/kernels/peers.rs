//! Other implementations of the same operations.

use anyhow::{Result, bail};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use clap::ValueEnum;

use super::passes::{Op, Operands, Pass, groups, labels, regions, scale_and_shift};

/// Whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// Burn's own operations; what it has none for, such as max pooling and trilinear up-sampling of
    /// volumes, is composed of several.
    Stock,
    /// PyTorch's, through its library.
    Libtorch,
}

impl Against {
    /// In the table.
    pub fn name(self) -> &'static str {
        match self {
            Against::Stock => "stock",
            Against::Libtorch => "libtorch",
        }
    }

    /// # Errors
    /// When it is not compiled in.
    pub fn check(self) -> Result<()> {
        if self == Against::Libtorch && !cfg!(feature = "libtorch") {
            bail!(
                "--against libtorch: this build has none; build with `cargo build -p trainer \
                 --features libtorch`"
            );
        }
        Ok(())
    }

    /// Median seconds of a pass.
    ///
    /// # Errors
    /// Where it has no such operation, or fails at it.
    pub fn secs(
        self,
        pass: Pass,
        operands: &Operands,
        repeat: usize,
        device: &Device,
    ) -> Result<f64> {
        match self {
            Against::Stock => pass.secs(device, repeat, operands, stock(pass.op, operands)),
            #[cfg(feature = "libtorch")]
            Against::Libtorch => super::libtorch::secs(pass, operands, repeat, device),
            #[cfg(not(feature = "libtorch"))]
            Against::Libtorch => bail!("not compiled in"),
        }
    }
}

/// An operation by burn's own.
fn stock(op: Op, operands: &Operands) -> impl Fn(Tensor<5>, Tensor<5>) -> Tensor<5> {
    let reference = (op == Op::Loss).then(|| reference(&operands.x));
    move |x, weight| match &reference {
        Some(reference) => loss_gradient(x, reference.clone()),
        None => result(op, x, weight),
    }
}

fn result(op: Op, x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
    let conv = |x: Tensor<5>, weight: Tensor<5>, padding: usize, groups: usize| {
        conv3d(x, weight, None, ConvOptions::new([1; 3], [padding; 3], [1; 3], groups))
    };
    let [outputs, inputs, ..] = weight.dims();
    match op {
        Op::Depthwise => conv(x, weight, 1, outputs),
        Op::Pointwise => conv(x, weight, 0, 1),
        Op::Conv3 => conv(x, weight, 1, 1),
        Op::GroupNorm => {
            let [b, c, k, j, i] = x.dims();
            let groups = groups(inputs);
            let x = x.reshape([b * groups, c / groups * k * j * i]);
            let (variance, mean) = x.clone().var_mean_bias(1);
            let x = ((x - mean) / (variance + 1e-5).sqrt()).reshape([b, c, k, j, i]);
            let [gamma, beta] = scale_and_shift(weight).map(|t| t.reshape([1, c, 1, 1, 1]));
            relu(x * gamma + beta)
        }
        Op::Add => x + weight,
        Op::MaxPool => halved(x),
        Op::Upsample => doubled(x),
        Op::UpsampleAdd => doubled(x) + weight,
        Op::Loss => unreachable!("given its reference by `stock`"),
    }
}

/// Max pooling, axis by axis.
fn halved(x: Tensor<5>) -> Tensor<5> {
    let [b, c, k, j, i] = x.dims();
    let x = x.reshape([b * c, k, j, i / 2, 2]).max_dim(4);
    let x = x.reshape([b * c, k, j / 2, 2, i / 2]).max_dim(3);
    let x = x.reshape([b * c, k / 2, 2, j / 2, i / 2]).max_dim(2);
    x.reshape([b, c, k / 2, j / 2, i / 2])
}

/// Trilinear up-sampling, axis by axis.
fn doubled(x: Tensor<5>) -> Tensor<5> {
    let [b, c, k, j, i] = x.dims();
    let double = |x: Tensor<4>, axis: usize| {
        let mut shape = x.dims();
        let n = shape[axis];
        shape[axis] = 2 * n;
        let part = |start: usize, count: usize| x.clone().narrow(axis, start, count);
        // Beyond the border the border's value holds.
        let most = (n - 1).max(1);
        let before = Tensor::cat(vec![part(0, 1), part(0, most)], axis);
        let after = Tensor::cat(vec![part(n - most, most), part(n - 1, 1)], axis);
        let blended = |other: Tensor<4>| -> Tensor<5> {
            (x.clone() * 0.75 + other.narrow(axis, 0, n) * 0.25).unsqueeze_dim(axis + 1)
        };
        Tensor::cat(vec![blended(before), blended(after)], axis + 1).reshape(shape)
    };
    (1..4).fold(x.reshape([b * c, k, j, i]), double).reshape([b, c, 2 * k, 2 * j, 2 * i])
}

/// Where the loss's regions are, as numbers in the form of the logits.
fn reference(logits: &Tensor<5>) -> Tensor<5> {
    let [b, outputs, k, j, i] = logits.dims();
    let (task, labels) = (regions(), labels(b, [i, j, k]));
    let of = |sample: usize| {
        let labels = &labels[sample * k * j * i..(sample + 1) * k * j * i];
        let is_in = move |codes: &[u8], code: &u8| f32::from(u8::from(codes.contains(code)));
        let regions = task.regions.iter();
        regions.flat_map(move |region| labels.iter().map(move |code| is_in(&region.labels, code)))
    };
    let values: Vec<f32> = (0..b).flat_map(of).collect();
    Tensor::from_data(TensorData::new(values, [b, outputs, k, j, i]), &logits.device())
}

/// The gradient of the mean cross-entropy and of the mean soft Dice loss, smoothed by one.
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
    let gradient = x.grad(&loss.backward());
    gradient.expect("the loss depends on the logits")
}

#[cfg(test)]
mod tests {
    use super::super::passes::passes;
    use super::*;
    use burn::tensor::FloatDType;
    use trainer_train::adam::numbers;

    /// What is compared is the same function.
    #[test]
    fn what_is_composed_is_what_our_kernels_compute() {
        let (dims, device) = ([6, 4, 2], Device::flex());
        for op in passes().into_iter().map(|pass| pass.op) {
            let channels = op.channels(30);
            let operands = op.operands(2, channels, dims, FloatDType::F32, &device);
            let Operands { x, weight } = operands.clone();
            let theirs = stock(op, &operands)(x.clone(), weight.clone());
            let ours = op.ours(2, dims)(x, weight);
            assert_eq!(ours.dims(), theirs.dims(), "{op:?}");
            let (ours, theirs) = (numbers(ours), numbers(theirs));
            let largest = ours.iter().fold(0f32, |most, v| most.max(v.abs()));
            let pairs = ours.iter().zip(&theirs);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(worst < 1e-5 * largest, "{op:?}: {worst} of {largest}");
        }
    }
}
