//! Group norm with activation (Wu and He 2018) as one op. burn composes it from about nine ops.

mod cpu;
#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;
use burn::backend::autodiff::ops::NodeGuard;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};

use super::add::add_or_subtract;
use super::autodiff::ParentGradients;
use super::kernel_input::{KernelInput, NormAffine};
use super::profiler::{OpKind, backward_scope, forward_scope};
use super::{
    ConvInput, DeferredGroupNorm, DeviceKind, OpMemory, OpShape, Parent, on_backend, primitive,
    record,
};
use crate::nets::like;
use crate::network::config::Activation;

/// Normalizes every group of channels of every sample to mean 0 and variance 1 (biased), scales and
/// shifts every channel, and applies the activation.
///
/// The backward pass keeps the input, two values per group and two per channel.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - gamma, beta: `[c]`
/// - output: as x
pub fn group_norm(
    x: Tensor<5>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    activation: Activation,
) -> Tensor<5> {
    let _scope = forward_scope(OpKind::GroupNorm, &x);
    let norm = DeferredGroupNorm { x, gamma, beta, groups, activation };
    on_backend!(norm.x, B => {
        if !norm.x.device().is_autodiff() {
            return normalized::<B>(PreparedGroupNorm::<B>::prepare(norm).into_kernel_input());
        }
        let (parents, norm) = PreparedGroupNorm::<B>::new(norm);
        let output = normalized::<B>(norm.source());
        record::<B, 3, 5>(parents, output, move |gradient, _, _| {
            norm.gradients(Tensor::from_primitive::<B>(gradient))
        })
    })
}

impl ConvInput {
    /// Returns the stored tensor, or applies the norm.
    ///
    /// # Shapes
    /// - output: `[b, c, k, j, i]`
    pub fn whole(self) -> Tensor<5> {
        match self {
            ConvInput::Whole(x) => x,
            ConvInput::Stream(stream) => stream.tracked(),
            ConvInput::DeferredGroupNorm(norm) => {
                group_norm(norm.x, norm.gamma, norm.beta, norm.groups, norm.activation)
            }
        }
    }
}

/// Adds a residual branch to a stream, or subtracts it if `sign` is −1.
///
/// The result has the stream's type and reuses its memory if nothing else holds it. A deferred norm
/// at the end of the branch is applied during the addition, and its output is rounded to the
/// branch's type. An f32 stream holds sums of such values exactly, so a later subtraction restores
/// it.
///
/// # Shapes
/// - stream, branch, output: `[b, c, k, j, i]`
pub fn add_branch(stream: Tensor<5>, branch: ConvInput, sign: f32) -> Tensor<5> {
    match branch {
        ConvInput::DeferredGroupNorm(norm) => {
            on_backend!(stream, B => {
                if stream.device().is_autodiff() {
                    record_add::<B>(stream, norm, sign)
                } else {
                    add_kernel_input::<B>(stream, PreparedGroupNorm::<B>::prepare(norm).into_kernel_input(), sign)
                }
            })
        }
        branch => add_or_subtract(stream, branch.whole(), sign),
    }
}

/// [`add_branch`] without autodiff.
pub(crate) fn add_kernel_input<B: GroupNormKernels>(
    stream: Tensor<5>,
    branch: KernelInput,
    sign: f32,
) -> Tensor<5> {
    let _scope = forward_scope(OpKind::GroupNorm, &stream);
    match branch.norm {
        None => add_or_subtract(stream, branch.x, sign),
        Some(norm) => B::add(stream, branch.x, &norm, sign),
    }
}

fn record_add<B: GroupNormKernels>(
    stream: Tensor<5>,
    norm: DeferredGroupNorm,
    sign: f32,
) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let stream = Parent::<B, 5>::new(stream);
    let ([x, gamma, beta], norm) = PreparedGroupNorm::<B>::new(norm);
    let output = add_kernel_input::<B>(stream.value, norm.source(), sign);
    let parents = [stream.guard, x, gamma, beta];
    record::<B, 4, 5>(parents, output, move |gradient, [stream_grad, ..], _| {
        let stream_grad = stream_grad.then(|| gradient.clone());
        let gradient = Tensor::<5>::from_primitive::<B>(gradient);
        let branch_grad = if sign < 0.0 { gradient.neg() } else { gradient };
        let [input_grad, gamma_grad, beta_grad] = norm.gradients(branch_grad);
        [stream_grad, input_grad, gamma_grad, beta_grad]
    })
}

/// Applies the norm, in place if nothing else holds x.
pub(crate) fn normalized<B: GroupNormKernels>(KernelInput { x, norm }: KernelInput) -> Tensor<5> {
    let _scope = forward_scope(OpKind::GroupNorm, &x);
    match norm {
        None => x,
        Some(norm) => B::apply(x, &norm),
    }
}

/// A norm with computed statistics, without autodiff.
pub(crate) struct PreparedGroupNorm<B: GroupNormKernels> {
    x: Tensor<5>,
    parameters: [Tensor<1>; 2],
    statistics: B::Statistics,
    affine: NormAffine,
    layout: Layout,
}

impl<B: GroupNormKernels> PreparedGroupNorm<B>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    /// Prepares a norm of tracked tensors. Also returns the nodes of x, gamma and beta.
    pub fn new(norm: DeferredGroupNorm) -> ([NodeGuard; 3], PreparedGroupNorm<B>) {
        let x = Parent::<B, 5>::new(norm.x);
        let (gamma, beta) = (Parent::<B, 1>::new(norm.gamma), Parent::<B, 1>::new(norm.beta));
        let values = DeferredGroupNorm { x: x.value, gamma: gamma.value, beta: beta.value, ..norm };
        ([x.guard, gamma.guard, beta.guard], PreparedGroupNorm::prepare(values))
    }

    pub fn prepare(norm: DeferredGroupNorm) -> PreparedGroupNorm<B> {
        let DeferredGroupNorm { x, gamma, beta, groups, activation } = norm;
        let _scope = forward_scope(OpKind::GroupNorm, &x);
        let [_, c, k, j, i] = x.dims();
        assert!(groups > 0 && c % groups == 0, "{groups} groups do not divide {c} channels");
        let layout = Layout { groups, channels: c, voxels: k * j * i };
        let statistics = B::statistics(&x, layout);
        let scale_shift = B::affine([&gamma, &beta], &statistics, layout);
        let affine = NormAffine { scale_shift, slope: activation.negative_slope() };
        PreparedGroupNorm { x, parameters: [gamma, beta], statistics, affine, layout }
    }

    /// Returns x with the norm still to apply.
    pub fn source(&self) -> KernelInput {
        KernelInput { x: self.x.clone(), norm: Some(self.affine.clone()) }
    }

    /// Returns x with the norm still to apply, and gives up the own hold on x.
    pub fn into_kernel_input(self) -> KernelInput {
        KernelInput { x: self.x, norm: Some(self.affine) }
    }

    /// Returns the gradients of x, gamma and beta for a gradient of the output.
    pub fn gradients(self, gradient: Tensor<5>) -> ParentGradients<B, 3> {
        let _scope = backward_scope(OpKind::GroupNorm, &gradient);
        let [gamma, beta] = &self.parameters;
        let gradient = like(gradient, &self.x);
        let (statistics, layout, slope) = (&self.statistics, self.layout, self.affine.slope);
        let (input_grad, gamma_grad, beta_grad) =
            B::gradients(self.x, gradient, [gamma, beta], statistics, layout, slope);
        let [gamma_grad, beta_grad] = [gamma_grad, beta_grad].map(primitive::<B, 1>);
        [Some(primitive::<B, 5>(input_grad)), Some(gamma_grad), Some(beta_grad)]
    }
}

/// Division of a tensor `[b, c, voxels]` into groups of channels.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    groups: usize,
    channels: usize,
    voxels: usize,
}

impl Layout {
    /// Channels per group.
    fn channels_per_group(self) -> usize {
        self.channels / self.groups
    }

    /// Values of one group of one sample. They are contiguous.
    fn group_size(self) -> usize {
        self.channels_per_group() * self.voxels
    }
}

/// Gradients of x, gamma and beta.
pub(crate) type Gradients = (Tensor<5>, Tensor<1>, Tensor<1>);

/// Kernels of one backend. Tensors are without autodiff. `parameters` are gamma and beta; `slope`
/// is the activation's factor for negative values.
pub(crate) trait GroupNormKernels: Backend {
    /// Mean and 1 / standard deviation of every group of every sample.
    type Statistics: Send + 'static;

    fn statistics(x: &Tensor<5>, layout: Layout) -> Self::Statistics;

    /// Returns scale and shift of every channel of every sample: [`NormAffine::scale_shift`].
    fn affine(
        parameters: [&Tensor<1>; 2],
        statistics: &Self::Statistics,
        layout: Layout,
    ) -> Tensor<2>;

    /// Computes `activation(x · scale + shift)`, in place if nothing else holds x.
    fn apply(x: Tensor<5>, norm: &NormAffine) -> Tensor<5>;

    /// Computes `stream + sign · activation(x · scale + shift)`, in place if nothing else holds the
    /// stream.
    fn add(stream: Tensor<5>, x: Tensor<5>, norm: &NormAffine, sign: f32) -> Tensor<5>;

    /// Computes the gradients. The gradient of x overwrites that of the output if nothing else holds
    /// it; on the CPU otherwise x, likewise.
    fn gradients(
        x: Tensor<5>,
        gradient: Tensor<5>,
        parameters: [&Tensor<1>; 2],
        statistics: &Self::Statistics,
        layout: Layout,
        slope: f32,
    ) -> Gradients;
}

/// Memory of [`group_norm`].
///
/// On a GPU each cube reads at least 4096 values. It leaves three partial results in the forward
/// pass and two in the backward pass, which a second pass reduces for every channel and group.
pub fn memory(op_shape: &OpShape) -> OpMemory {
    let n = op_shape.num_input_elements();
    let sums = (op_shape.batch * op_shape.in_channels) as u64;
    let widening_bytes = op_shape.widening_bytes(2 * n);
    let (forward_bytes, backward_bytes) = match op_shape.device {
        DeviceKind::Cpu => (widening_bytes, 16 * sums + widening_bytes),
        DeviceKind::Gpu => (12 * (sums + n / 4096), 24 * sums + 8 * (n / 4096)),
    };
    OpMemory {
        keeps_input: true,
        is_in_place: true,
        kept_bytes: 16 * sums,
        forward_bytes,
        backward_bytes,
        ..OpMemory::default()
    }
}

#[cfg(test)]
mod tests;
