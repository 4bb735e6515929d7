//! The operations of the networks, and the passes over each.

use anyhow::Result;
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use model_core::Activation;
use model_core::kernels::{
    conv3, depthwise_conv3, group_norm, max_pool2, pointwise_conv, upsample2,
};

use super::peers::Against;
use super::{Row, stopwatch};

/// An operation of the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Depthwise 3³ convolution of c channels, as an MBConv has it.
    Depthwise,
    /// 1³ convolution from c / 2 to c channels, as an MBConv expands.
    Pointwise,
    /// Dense 3³ convolution from c to c channels, as a `conv2` decoder has it.
    Conv3,
    /// Group norm of c channels with a rectifier.
    GroupNorm,
    /// 2³ max pooling of c channels.
    MaxPool,
    /// Trilinear up-sampling to the size.
    Upsample,
    /// The coupling's addition on c / 2 channels.
    Add,
}

/// What is taken of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Its result.
    Forward,
    /// The gradient of its input.
    Input,
    /// The gradient of its weight.
    Weight,
    /// Both gradients, which one pass gives.
    Backward,
}

/// A pass over an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// The operation.
    pub op: Op,
    /// What is taken of it.
    pub of: Of,
}

/// All of them.
pub fn passes() -> Vec<Pass> {
    use Of::{Backward, Forward, Input, Weight};
    let of = |op: Op| -> &'static [Of] {
        match op {
            Op::Depthwise | Op::Pointwise | Op::Conv3 => &[Forward, Input, Weight],
            Op::GroupNorm => &[Forward, Backward],
            Op::MaxPool | Op::Upsample => &[Forward, Input],
            Op::Add => &[Forward],
        }
    };
    let ops = [
        Op::Depthwise,
        Op::Pointwise,
        Op::Conv3,
        Op::GroupNorm,
        Op::MaxPool,
        Op::Upsample,
        Op::Add,
    ];
    ops.into_iter().flat_map(|op| of(op).iter().map(move |&of| Pass { op, of })).collect()
}

/// Bytes of a number.
pub fn float_bytes(float: FloatDType) -> usize {
    match float {
        FloatDType::F16 | FloatDType::BF16 => 2,
        FloatDType::F64 => 8,
        _ => 4,
    }
}

/// What an operation works on at c channels.
#[derive(Debug, Clone)]
pub struct Operands {
    /// `[1, in, k, j, i]`
    pub x: Tensor<5>,
    /// `[out, in, …]` of a convolution, `[2, c, 1, 1, 1]` of a norm (scale and shift); elsewhere one
    /// number that is not used, or the other summand.
    pub weight: Tensor<5>,
}

impl Pass {
    /// Operation and pass.
    pub fn name(self) -> String {
        let op = match self.op {
            Op::Depthwise => "depthwise",
            Op::Pointwise => "pointwise",
            Op::Conv3 => "conv3",
            Op::GroupNorm => "group norm",
            Op::MaxPool => "max pool",
            Op::Upsample => "upsample",
            Op::Add => "add",
        };
        let of = match self.of {
            Of::Forward => "forward",
            Of::Input => "input gradient",
            Of::Weight => "weight gradient",
            Of::Backward => "backward",
        };
        format!("{op} {of}")
    }

    /// Measures it, and the others beside it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn row(
        self,
        channels: usize,
        dims: [usize; 3],
        storage: FloatDType,
        repeat: usize,
        against: &[Against],
        copy_bytes_per_sec: f64,
        device: &Device,
    ) -> Result<Row> {
        let operands = self.op.operands(channels, dims, storage, device);
        let secs = self.secs(device, repeat, &operands, |x, weight| self.op.ours(x, weight))?;
        let others = against.iter().map(|peer| {
            let found = peer.secs(self, &operands, repeat, device);
            (peer.name().to_string(), found.map_err(|error| format!("{error:#}")))
        });
        let others = others.collect();
        let bytes = (self.values(channels, dims) * float_bytes(storage)) as u64;
        Ok(Row {
            kernel: self.name(),
            channels,
            dims,
            bytes,
            multiply_adds: self.multiply_adds(channels, dims),
            secs,
            share_of_copy: bytes as f64 / secs / copy_bytes_per_sec,
            others,
        })
    }

    /// Median seconds of this pass over an operation given as `f`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn secs(
        self,
        device: &Device,
        repeat: usize,
        operands: &Operands,
        f: impl Fn(Tensor<5>, Tensor<5>) -> Tensor<5>,
    ) -> Result<f64> {
        let Operands { x, weight } = operands;
        if self.of == Of::Forward {
            return stopwatch::forward(device, repeat, || f(x.clone(), weight.clone()));
        }
        let seed = f(x.clone(), weight.clone());
        let x = x.clone().autodiff().set_require_grad(self.of != Of::Weight);
        let weight = weight.clone().autodiff().set_require_grad(self.of != Of::Input);
        stopwatch::backwards(device, repeat, || f(x.clone(), weight.clone()), &seed)
    }

    /// Numbers that must be read and written, in the tensors' type. Group norm needs its input twice,
    /// since the first value of its output depends on the last of its input.
    fn values(self, c: usize, [i, j, k]: [usize; 3]) -> usize {
        let n = c * i * j * k;
        match (self.op, self.of) {
            (Op::Depthwise | Op::Conv3, _) => 2 * n,
            (Op::Pointwise, _) => n / 2 + n,
            (Op::GroupNorm, Of::Forward) => 3 * n,
            (Op::GroupNorm, _) => 5 * n,
            (Op::MaxPool, Of::Forward) => n + n / 8,
            (Op::MaxPool, _) => 2 * n + n / 8,
            (Op::Upsample, _) => n + n / 8,
            (Op::Add, _) => 3 * n / 2,
        }
    }

    fn multiply_adds(self, c: usize, [i, j, k]: [usize; 3]) -> u64 {
        let each = match self.op {
            Op::Depthwise => 27 * c,
            Op::Pointwise => c * c / 2,
            Op::Conv3 => 27 * c * c,
            _ => 0,
        };
        (each * i * j * k) as u64
    }
}

impl Op {
    /// Random operands, of a standard normal distribution.
    pub fn operands(
        self,
        c: usize,
        [i, j, k]: [usize; 3],
        storage: FloatDType,
        device: &Device,
    ) -> Operands {
        let random = |shape: [usize; 5]| {
            Tensor::<5>::random(shape, Distribution::Normal(0.0, 1.0), device).cast(storage)
        };
        let (x, weight) = match self {
            Op::Depthwise => ([1, c, k, j, i], [c, 1, 3, 3, 3]),
            Op::Pointwise => ([1, c / 2, k, j, i], [c, c / 2, 1, 1, 1]),
            Op::Conv3 => ([1, c, k, j, i], [c, c, 3, 3, 3]),
            Op::GroupNorm => ([1, c, k, j, i], [2, c, 1, 1, 1]),
            Op::MaxPool => ([1, c, k, j, i], [1; 5]),
            Op::Upsample => ([1, c, k / 2, j / 2, i / 2], [1; 5]),
            Op::Add => ([1, c / 2, k, j, i], [1, c / 2, k, j, i]),
        };
        Operands { x: random(x), weight: random(weight) }
    }

    /// Its result by our kernels.
    pub fn ours(self, x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
        let [outputs, inputs, ..] = weight.dims();
        match self {
            Op::Depthwise => depthwise_conv3(x, weight.reshape([outputs, 3, 3, 3])),
            Op::Pointwise => pointwise_conv(x, weight.reshape([outputs, inputs])),
            Op::Conv3 => conv3(x, weight),
            Op::GroupNorm => {
                let [gamma, beta] = scale_and_shift(weight);
                group_norm(x, gamma, beta, groups(inputs), Activation::Relu)
            }
            Op::MaxPool => max_pool2(x),
            Op::Upsample => upsample2(x),
            Op::Add => x + weight,
        }
    }
}

/// The two halves of a norm's parameters.
pub fn scale_and_shift(weight: Tensor<5>) -> [Tensor<1>; 2] {
    let [_, channels, ..] = weight.dims();
    [0, 1].map(|n| weight.clone().narrow(0, n, 1).reshape([channels]))
}

/// Groups of a norm of c channels: those of the paper's presets where they divide, else one a pair.
pub fn groups(channels: usize) -> usize {
    if channels.is_multiple_of(15) { 15 } else { channels / 2 }
}
