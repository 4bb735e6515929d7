//! The operations of the networks, and the passes over each.

use anyhow::Result;
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use model_core::kernels::{
    conv3, depthwise_conv3, group_norm, max_pool2, pointwise_conv, upsample2, upsample2_add,
};
use model_core::{Activation, Task};

use super::peers::Against;
use super::{Row, stopwatch};
use trainer_run::config::LossKind;
use trainer_train::loss::Loss;

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
    /// The same with a decoder's skip added.
    UpsampleAdd,
    /// The coupling's addition on c / 2 channels.
    Add,
    /// Dice and cross-entropy of the logits of three regions, always f32.
    Loss,
}

/// Outputs of a loss: the regions of BraTS.
const REGIONS: usize = 3;

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
    /// The gradient of its input, which it gives along with its result.
    Whole,
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
    use Of::{Backward, Forward, Input, Weight, Whole};
    let of = |op: Op| -> &'static [Of] {
        match op {
            Op::Depthwise | Op::Pointwise | Op::Conv3 => &[Forward, Input, Weight],
            Op::GroupNorm | Op::UpsampleAdd => &[Forward, Backward],
            Op::MaxPool | Op::Upsample => &[Forward, Input],
            Op::Add => &[Forward],
            Op::Loss => &[Whole],
        }
    };
    let ops = [
        Op::Depthwise,
        Op::Pointwise,
        Op::Conv3,
        Op::GroupNorm,
        Op::MaxPool,
        Op::Upsample,
        Op::UpsampleAdd,
        Op::Add,
        Op::Loss,
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
    /// `[b, in, k, j, i]`
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
            Op::UpsampleAdd => "upsample + skip",
            Op::Add => "add",
            Op::Loss => "loss",
        };
        let of = match self.of {
            Of::Forward => "forward",
            Of::Input => "input gradient",
            Of::Weight => "weight gradient",
            Of::Backward => "backward",
            Of::Whole => "forward and backward",
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
        let channels = self.op.channels(channels);
        let storage = self.op.storage(storage);
        let operands = self.op.operands(1, channels, dims, storage, device);
        let secs = self.secs(device, repeat, &operands, self.op.ours(1, dims))?;
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
        if matches!(self.of, Of::Forward | Of::Whole) {
            return stopwatch::forward(device, repeat, || f(x.clone(), weight.clone()));
        }
        let seed = f(x.clone(), weight.clone());
        let x = x.clone().autodiff().set_require_grad(self.of != Of::Weight);
        let weight = weight.clone().autodiff().set_require_grad(self.of != Of::Input);
        stopwatch::backwards(device, repeat, || f(x.clone(), weight.clone()), &seed)
    }

    /// Numbers that must be read and written, in the tensors' type. Group norm and the loss need their
    /// input twice, since the first value of what they give depends on the last of it; the loss also
    /// a byte of reference a voxel.
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
            (Op::UpsampleAdd, Of::Forward) => 2 * n + n / 8,
            // The skip's gradient is the output's.
            (Op::UpsampleAdd, _) => n + n / 8,
            (Op::Add, _) => 3 * n / 2,
            (Op::Loss, _) => 3 * n + 2 * i * j * k / 4,
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
    /// Channels that it works on where the network has c.
    pub fn channels(self, c: usize) -> usize {
        if self == Op::Loss { REGIONS } else { c }
    }

    /// The type of its tensors where the layers' is this one.
    pub fn storage(self, layers: FloatDType) -> FloatDType {
        if self == Op::Loss { FloatDType::F32 } else { layers }
    }

    /// Random operands of b samples, of a standard normal distribution.
    pub fn operands(
        self,
        b: usize,
        c: usize,
        [i, j, k]: [usize; 3],
        storage: FloatDType,
        device: &Device,
    ) -> Operands {
        let random = |shape: [usize; 5]| {
            Tensor::<5>::random(shape, Distribution::Normal(0.0, 1.0), device).cast(storage)
        };
        let (x, weight) = match self {
            Op::Depthwise => ([b, c, k, j, i], [c, 1, 3, 3, 3]),
            Op::Pointwise => ([b, c / 2, k, j, i], [c, c / 2, 1, 1, 1]),
            Op::Conv3 => ([b, c, k, j, i], [c, c, 3, 3, 3]),
            Op::GroupNorm => ([b, c, k, j, i], [2, c, 1, 1, 1]),
            Op::MaxPool | Op::Loss => ([b, c, k, j, i], [1; 5]),
            Op::Upsample => ([b, c, k / 2, j / 2, i / 2], [1; 5]),
            Op::UpsampleAdd => ([b, c, k / 2, j / 2, i / 2], [b, c, k, j, i]),
            Op::Add => ([b, c / 2, k, j, i], [b, c / 2, k, j, i]),
        };
        Operands { x: random(x), weight: random(weight) }
    }

    /// Our kernels for it, on b samples of so many voxels.
    pub fn ours(self, b: usize, dims: [usize; 3]) -> impl Fn(Tensor<5>, Tensor<5>) -> Tensor<5> {
        let loss = (self == Op::Loss).then(|| {
            let task = regions();
            (Loss::new(&task, LossKind::DiceCe), labels(b, dims))
        });
        move |x, weight| match &loss {
            Some((loss, labels)) => {
                let x = x.cast(FloatDType::F32);
                let found = loss.of_tensor(x, labels, |_| Ok(()));
                found.expect("nothing is asked that could fail").1
            }
            None => self.result(x, weight),
        }
    }

    /// Its result by our kernels.
    fn result(self, x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
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
            Op::UpsampleAdd => upsample2_add(x, weight),
            Op::Add => x + weight,
            Op::Loss => unreachable!("given its reference by `ours`"),
        }
    }
}

/// The task whose loss is measured.
pub fn regions() -> Task {
    Task::builtin("brats2021").expect("built in")
}

/// A reference for its loss: codes of b samples, in stripes.
pub fn labels(b: usize, [i, j, k]: [usize; 3]) -> Vec<u8> {
    (0..b * k * j * i).map(|voxel| [0, 1, 0, 2, 4][voxel / 7 % 5]).collect()
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
