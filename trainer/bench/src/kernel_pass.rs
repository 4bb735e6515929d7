//! The operations of the networks, their passes, and the operands that a pass is measured on.

use anyhow::Result;
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use model_core::kernels::{
    conv3, depthwise_conv3, group_norm, max_pool2, pointwise_conv, upsample2, upsample2_add,
};
use model_core::nets::backward;
use model_core::{Activation, Task};

use crate::stopwatch::{median_secs, secs, wait};
use trainer_run::config::LossKind;
use trainer_train::loss::Loss;

/// An operation of the networks at a level of c channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Depthwise 3³ convolution of c channels, as in an MBConv.
    Depthwise,
    /// Pointwise convolution from c / 2 to c channels, as an MBConv expands.
    Pointwise,
    /// Dense 3³ convolution from c to c channels, as in a `conv2` decoder.
    Conv3,
    /// Group norm of c channels with a rectifier.
    GroupNorm,
    /// 2³ max pooling of c channels.
    MaxPool,
    /// Trilinear up-sampling to the size of the level.
    Upsample,
    /// Trilinear up-sampling and the addition of a decoder's skip.
    UpsampleAdd,
    /// The addition of a reversible block, on c / 2 channels.
    Add,
    /// Dice and cross-entropy of the logits of three regions, always in f32.
    Loss,
}

/// The output channels of a loss: the regions of BraTS.
const NUM_REGIONS: usize = 3;

/// The result that a pass computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Forward,
    /// The gradient of the input.
    InputGradient,
    /// The gradient of the weight.
    WeightGradient,
    /// Both gradients, computed together.
    Backward,
    /// The gradient of the input, computed together with the result.
    ForwardAndBackward,
}

/// A pass of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelPass {
    pub operation: Operation,
    pub pass: Pass,
}

/// The operands of an operation.
#[derive(Debug, Clone)]
pub struct Operands {
    /// `[b, in, k, j, i]`
    pub x: Tensor<5>,
    /// `[out, in, …]` of a convolution; `[2, c, 1, 1, 1]`, scale and shift, of a norm; the other
    /// summand of an addition. Otherwise a single unused number.
    pub weight: Tensor<5>,
}

/// Returns all passes of all operations.
pub fn kernel_passes() -> Vec<KernelPass> {
    use Pass::{Backward, Forward, ForwardAndBackward, InputGradient, WeightGradient};
    let passes: [(Operation, &[Pass]); 9] = [
        (Operation::Depthwise, &[Forward, InputGradient, WeightGradient]),
        (Operation::Pointwise, &[Forward, InputGradient, WeightGradient]),
        (Operation::Conv3, &[Forward, InputGradient, WeightGradient]),
        (Operation::GroupNorm, &[Forward, Backward]),
        (Operation::MaxPool, &[Forward, InputGradient]),
        (Operation::Upsample, &[Forward, InputGradient]),
        (Operation::UpsampleAdd, &[Forward, Backward]),
        (Operation::Add, &[Forward]),
        (Operation::Loss, &[ForwardAndBackward]),
    ];
    let passes = passes.iter().flat_map(|(operation, passes)| {
        passes.iter().map(|pass| KernelPass { operation: *operation, pass: *pass })
    });
    passes.collect()
}

impl KernelPass {
    /// Returns the name for tables, such as `depthwise forward`.
    pub fn name(self) -> String {
        let operation = match self.operation {
            Operation::Depthwise => "depthwise",
            Operation::Pointwise => "pointwise",
            Operation::Conv3 => "conv3",
            Operation::GroupNorm => "group norm",
            Operation::MaxPool => "max pool",
            Operation::Upsample => "upsample",
            Operation::UpsampleAdd => "upsample + skip",
            Operation::Add => "add",
            Operation::Loss => "loss",
        };
        let pass = match self.pass {
            Pass::Forward => "forward",
            Pass::InputGradient => "input gradient",
            Pass::WeightGradient => "weight gradient",
            Pass::Backward => "backward",
            Pass::ForwardAndBackward => "forward and backward",
        };
        format!("{operation} {pass}")
    }

    /// Returns whether the pass runs without autodiff.
    pub fn is_forward(self) -> bool {
        matches!(self.pass, Pass::Forward | Pass::ForwardAndBackward)
    }

    /// Returns the operands on their autodiff device, tracked if the pass computes their gradient.
    pub fn tracked(self, Operands { x, weight }: &Operands) -> Operands {
        Operands {
            x: x.clone().autodiff().set_require_grad(self.pass != Pass::WeightGradient),
            weight: weight.clone().autodiff().set_require_grad(self.pass != Pass::InputGradient),
        }
    }

    /// Returns the median seconds of this pass over `operation`.
    ///
    /// # Errors
    /// Errors if the device fails.
    pub fn secs(
        self,
        operands: &Operands,
        num_runs: usize,
        operation: impl Fn(&Operands) -> Tensor<5>,
    ) -> Result<f64> {
        let device = operands.x.device();
        if self.is_forward() {
            return median_secs(num_runs, || secs(|| wait(&device), || Ok(operation(operands))));
        }
        let seed = operation(operands);
        let tracked = self.tracked(operands);
        median_secs(num_runs, || {
            let ends = vec![(operation(&tracked), seed.clone())];
            secs(|| wait(&device), || Ok(backward(ends)))
        })
    }

    /// Returns the number of values that must be read and written, in the type of the tensors.
    ///
    /// Group norm and the loss read their input twice, since the first output value depends on the
    /// last input value. The loss also reads one byte of labels a voxel.
    pub fn num_values(self, c: usize, [i, j, k]: [usize; 3]) -> usize {
        let n = c * i * j * k;
        match (self.operation, self.pass) {
            (Operation::Depthwise | Operation::Conv3, _) => 2 * n,
            (Operation::Pointwise, _) => n / 2 + n,
            (Operation::GroupNorm, Pass::Forward) => 3 * n,
            (Operation::GroupNorm, _) => 5 * n,
            (Operation::MaxPool, Pass::Forward) => n + n / 8,
            (Operation::MaxPool, _) => 2 * n + n / 8,
            (Operation::Upsample, _) => n + n / 8,
            (Operation::UpsampleAdd, Pass::Forward) => 2 * n + n / 8,
            // The gradient of the skip is that of the output.
            (Operation::UpsampleAdd, _) => n + n / 8,
            (Operation::Add, _) => 3 * n / 2,
            (Operation::Loss, _) => 3 * n + 2 * i * j * k / 4,
        }
    }
}

impl Operation {
    /// Returns the channels that the operation works on at a level of c channels.
    pub fn channels(self, c: usize) -> usize {
        if self == Operation::Loss { NUM_REGIONS } else { c }
    }

    /// Returns the type of the tensors in a network of this type.
    pub fn storage(self, layers: FloatDType) -> FloatDType {
        if self == Operation::Loss { FloatDType::F32 } else { layers }
    }

    /// Returns the multiply-adds of a convolution; 0 for other operations.
    pub fn multiply_adds(self, c: usize, [i, j, k]: [usize; 3]) -> u64 {
        let per_voxel = match self {
            Operation::Depthwise => 27 * c,
            Operation::Pointwise => c * c / 2,
            Operation::Conv3 => 27 * c * c,
            _ => 0,
        };
        (per_voxel * i * j * k) as u64
    }

    /// Returns operands of b samples from a standard normal distribution.
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
            Operation::Depthwise => ([b, c, k, j, i], [c, 1, 3, 3, 3]),
            Operation::Pointwise => ([b, c / 2, k, j, i], [c, c / 2, 1, 1, 1]),
            Operation::Conv3 => ([b, c, k, j, i], [c, c, 3, 3, 3]),
            Operation::GroupNorm => ([b, c, k, j, i], [2, c, 1, 1, 1]),
            Operation::MaxPool | Operation::Loss => ([b, c, k, j, i], [1; 5]),
            Operation::Upsample => ([b, c, k / 2, j / 2, i / 2], [1; 5]),
            Operation::UpsampleAdd => ([b, c, k / 2, j / 2, i / 2], [b, c, k, j, i]),
            Operation::Add => ([b, c / 2, k, j, i], [b, c / 2, k, j, i]),
        };
        Operands { x: random(x), weight: random(weight) }
    }

    /// Returns the operation on our kernels, for b samples of `dims` voxels (i, j, k).
    pub fn ours(self, b: usize, dims: [usize; 3]) -> impl Fn(&Operands) -> Tensor<5> {
        let loss = Loss::new(&loss_task(), LossKind::DiceCe);
        let labels = if self == Operation::Loss { loss_labels(b, dims) } else { Vec::new() };
        move |operands| {
            let Operands { x, weight } = operands.clone();
            let [outputs, inputs, ..] = weight.dims();
            match self {
                Operation::Depthwise => depthwise_conv3(x, weight.reshape([outputs, 3, 3, 3])),
                Operation::Pointwise => pointwise_conv(x, weight.reshape([outputs, inputs])),
                Operation::Conv3 => conv3(x, weight),
                Operation::GroupNorm => {
                    let [gamma, beta] = scale_and_shift(weight);
                    group_norm(x, gamma, beta, num_groups(inputs), Activation::Relu)
                }
                Operation::MaxPool => max_pool2(x),
                Operation::Upsample => upsample2(x),
                Operation::UpsampleAdd => upsample2_add(x, weight),
                Operation::Add => x + weight,
                Operation::Loss => {
                    let result = loss.of_tensor(x.cast(FloatDType::F32), &labels, |_| Ok(()));
                    result.expect("the sum over ranks cannot fail").1
                }
            }
        }
    }
}

/// Returns the task of the measured loss.
pub fn loss_task() -> Task {
    Task::builtin("brats2021").expect("built in")
}

/// Returns the labels of the measured loss, in stripes.
pub fn loss_labels(b: usize, [i, j, k]: [usize; 3]) -> Vec<u8> {
    (0..b * k * j * i).map(|voxel| [0, 1, 0, 2, 4][voxel / 7 % 5]).collect()
}

/// Splits the parameters of a norm.
///
/// # Shapes
/// - weight: `[2, c, 1, 1, 1]`
/// - scale, shift: `[c]`
pub fn scale_and_shift(weight: Tensor<5>) -> [Tensor<1>; 2] {
    let [_, channels, ..] = weight.dims();
    [0, 1].map(|n| weight.clone().narrow(0, n, 1).reshape([channels]))
}

/// Returns the groups of a norm: those of the paper's presets if they divide the channels, otherwise
/// one for two channels.
pub fn num_groups(channels: usize) -> usize {
    if channels.is_multiple_of(15) { 15 } else { channels / 2 }
}

/// Returns the bytes of a number.
pub fn float_bytes(float: FloatDType) -> usize {
    match float {
        FloatDType::F16 | FloatDType::BF16 => 2,
        FloatDType::F64 => 8,
        _ => 4,
    }
}
