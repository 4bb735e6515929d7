//! Group norm with activation (Wu and He 2018), in one op: burn composes it from about nine.

mod cpu;
#[cfg(feature = "gpu")]
mod cube;

use burn::Tensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};

use super::clock::{Class, op};
use super::{Call, Memory, Parent, Place, on_backend, primitive, record};
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
    let [_, c, k, j, i] = x.dims();
    assert!(groups > 0 && c % groups == 0, "{groups} groups do not divide {c} channels");
    let layout = Layout { groups, channels: c, voxels: k * j * i };
    let slope = activation.negative_slope();
    on_backend!(x, B => {
        if x.device().is_autodiff() {
            recorded::<B>(x, gamma, beta, layout, slope)
        } else {
            let statistics = B::statistics(&x, layout);
            B::apply(&x, [&gamma, &beta], &statistics, layout, slope)
        }
    })
}

fn recorded<B: GroupNormKernels>(
    x: Tensor<5>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    layout: Layout,
    slope: f32,
) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let x = Parent::<B, 5>::new(x);
    let (gamma, beta) = (Parent::<B, 1>::new(gamma), Parent::<B, 1>::new(beta));
    let parents = [x.guard, gamma.guard, beta.guard];
    let (x, gamma, beta) = (x.value, gamma.value, beta.value);
    let statistics = B::statistics(&x, layout);
    let output = B::apply(&x, [&gamma, &beta], &statistics, layout, slope);
    record::<B, 3, 5>(parents, output, move |gradient, _, _| {
        let gradient = Tensor::<5>::from_primitive::<B>(gradient);
        let (of_x, of_gamma, of_beta) =
            B::gradients(&x, &gradient, [&gamma, &beta], &statistics, layout, slope);
        let [of_gamma, of_beta] = [of_gamma, of_beta].map(primitive::<B, 1>);
        [Some(primitive::<B, 5>(of_x)), Some(of_gamma), Some(of_beta)]
    })
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
