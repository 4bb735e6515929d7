//! Group norm with activation (Wu and He 2018), in one op: burn composes it from about nine.

mod cpu;
#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;
use burn::backend::autodiff::ops::NodeGuard;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};

use super::autodiff::ParentGradients;
use super::clock::{Class, op};
use super::{Call, Memory, Normed, Parent, Place, on_backend, primitive, record};
use crate::config::Activation;

/// Normalises every group of channels of every sample to mean 0 and variance 1 (biased, as the
/// field's networks use it), scales and shifts every channel, and applies the activation.
///
/// Keeps its input for the backward pass, and two numbers a group.
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
    let _timed = op(Class::GroupNorm, &x);
    let norm = Normed { x, gamma, beta, groups, activation };
    on_backend!(norm.x, B => {
        if !norm.x.device().is_autodiff() {
            return Known::<B>::of_values(norm).output();
        }
        let (parents, norm) = Known::<B>::new(norm);
        let output = norm.output();
        record::<B, 3, 5>(parents, output, move |gradient, _, _| {
            norm.gradients(Tensor::from_primitive::<B>(gradient))
        })
    })
}

/// A norm whose statistics are taken, without autodiff.
pub(crate) struct Known<B: GroupNormKernels> {
    /// What it is of.
    pub x: Tensor<5>,
    parameters: [Tensor<1>; 2],
    statistics: B::Statistics,
    layout: Layout,
    slope: f32,
}

impl<B: GroupNormKernels> Known<B>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    /// Of tensors in a graph, with the places there of x, gamma and beta.
    pub fn new(norm: Normed) -> ([NodeGuard; 3], Known<B>) {
        let x = Parent::<B, 5>::new(norm.x);
        let (gamma, beta) = (Parent::<B, 1>::new(norm.gamma), Parent::<B, 1>::new(norm.beta));
        let values = Normed { x: x.value, gamma: gamma.value, beta: beta.value, ..norm };
        ([x.guard, gamma.guard, beta.guard], Known::of_values(values))
    }

    fn of_values(norm: Normed) -> Known<B> {
        let Normed { x, gamma, beta, groups, activation } = norm;
        let [_, c, k, j, i] = x.dims();
        assert!(groups > 0 && c % groups == 0, "{groups} groups do not divide {c} channels");
        let layout = Layout { groups, channels: c, voxels: k * j * i };
        let statistics = B::statistics(&x, layout);
        let slope = activation.negative_slope();
        Known { x, parameters: [gamma, beta], statistics, layout, slope }
    }

    pub fn output(&self) -> Tensor<5> {
        let [gamma, beta] = &self.parameters;
        B::apply(&self.x, [gamma, beta], &self.statistics, self.layout, self.slope)
    }

    /// Of x, gamma and beta, from that of the output.
    pub fn gradients(self, gradient: Tensor<5>) -> ParentGradients<B, 3> {
        let [gamma, beta] = &self.parameters;
        let (statistics, layout, slope) = (&self.statistics, self.layout, self.slope);
        let (of_x, of_gamma, of_beta) =
            B::gradients(&self.x, &gradient, [gamma, beta], statistics, layout, slope);
        let [of_gamma, of_beta] = [of_gamma, of_beta].map(primitive::<B, 1>);
        [Some(primitive::<B, 5>(of_x)), Some(of_gamma), Some(of_beta)]
    }
}

/// How a tensor `[b, c, voxels]` falls into groups.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    groups: usize,
    channels: usize,
    voxels: usize,
}

impl Layout {
    /// Channels of a group.
    fn of_group(self) -> usize {
        self.channels / self.groups
    }

    /// Elements of one group of one sample, which lie together.
    fn group_size(self) -> usize {
        self.of_group() * self.voxels
    }
}

/// The gradients of x, gamma and beta.
pub(crate) type Gradients = (Tensor<5>, Tensor<1>, Tensor<1>);

/// A backend's kernels. Tensors are without autodiff; a pair is gamma and beta, and `slope` the
/// activation's factor of what is negative.
pub(crate) trait GroupNormKernels: Backend {
    /// Mean and 1 / standard deviation of every group of every sample.
    type Statistics: Send + 'static;

    fn statistics(x: &Tensor<5>, layout: Layout) -> Self::Statistics;

    /// `activation(x̂ · gamma + beta)`.
    fn apply(
        x: &Tensor<5>,
        parameters: [&Tensor<1>; 2],
        statistics: &Self::Statistics,
        layout: Layout,
        slope: f32,
    ) -> Tensor<5>;

    /// From the gradient of the output.
    fn gradients(
        x: &Tensor<5>,
        gradient: &Tensor<5>,
        parameters: [&Tensor<1>; 2],
        statistics: &Self::Statistics,
        layout: Layout,
        slope: f32,
    ) -> Gradients;
}

/// What [`group_norm`] holds. On a GPU a cube leaves three numbers of the 4096 or more that it read
/// on the way forward, and two on the way back; these are added up for every channel and group.
pub fn memory(call: &Call) -> Memory {
    let n = call.num_inputs();
    let sums = (call.batch * call.from) as u64;
    let widened = call.widened(2 * n);
    let (forward_bytes, backward_bytes) = match call.place {
        Place::Cpu => (widened, 16 * sums + widened + call.widened(n)),
        Place::Gpu => (12 * (sums + n / 4096), 24 * sums + 8 * (n / 4096)),
    };
    Memory { keeps_input: true, kept_bytes: 8 * sums, forward_bytes, backward_bytes }
}

#[cfg(test)]
mod tests;
