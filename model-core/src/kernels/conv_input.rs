//! The input of a convolution: a tensor, or a group norm that the convolution applies while it
//! loads, so that the normalized tensor is never stored.

use burn::Tensor;

use super::add::add_or_subtract;
use super::{Parent, Place, on_backend, record};
use crate::network::config::Activation;

/// A group norm with activation that the next op applies.
#[derive(Debug, Clone)]
pub struct DeferredGroupNorm {
    /// `[b, c, k, j, i]`
    pub x: Tensor<5>,
    /// Scale, `[c]`.
    pub gamma: Tensor<1>,
    /// Shift, `[c]`.
    pub beta: Tensor<1>,
    /// Number of groups.
    pub groups: usize,
    /// Activation after the norm.
    pub activation: Activation,
}

/// The stream that a residual branch reads. The gradient of x is added to the stream's own gradient,
/// which the place has, so that it needs no memory of its own.
#[derive(Debug, Clone)]
pub struct StreamInput {
    /// `[b, c, k, j, i]`, on an autodiff device and not tracked.
    pub(crate) x: Tensor<5>,
    /// Before the backward pass the gradient of the stream, then with that of x.
    pub(crate) gradient: Place,
}

impl StreamInput {
    /// Returns x as a tracked tensor, for ops that do not add their gradient themselves.
    pub(super) fn tracked(self) -> Tensor<5> {
        let StreamInput { x, gradient: place } = self;
        on_backend!(x, B => {
            let Parent { value, guard, .. } = Parent::<B, 5>::new(x.require_grad());
            record::<B, 1, 5>([guard], value, move |gradient, _, _| {
                let gradient = Tensor::<5>::from_primitive::<B>(gradient);
                place.put(add_or_subtract(place.take(), gradient, 1.0));
                [None]
            })
        })
    }
}

/// The input of a convolution.
#[allow(clippy::large_enum_variant)] // one exists at a time
#[derive(Debug, Clone)]
pub enum ConvInput {
    /// A stored tensor.
    Whole(Tensor<5>),
    /// A norm to apply while loading. The backward pass keeps the norm's input and recomputes its
    /// output.
    DeferredGroupNorm(DeferredGroupNorm),
    /// A stored tensor whose gradient is added to another.
    Stream(StreamInput),
}

impl ConvInput {
    /// Returns a tensor that has the shape, type and device of the input.
    pub fn tensor(&self) -> &Tensor<5> {
        let (ConvInput::Whole(x)
        | ConvInput::Stream(StreamInput { x, .. })
        | ConvInput::DeferredGroupNorm(DeferredGroupNorm { x, .. })) = self;
        x
    }
}

impl From<Tensor<5>> for ConvInput {
    fn from(x: Tensor<5>) -> ConvInput {
        ConvInput::Whole(x)
    }
}

impl From<DeferredGroupNorm> for ConvInput {
    fn from(norm: DeferredGroupNorm) -> ConvInput {
        ConvInput::DeferredGroupNorm(norm)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::FloatDType;

    use super::super::tests::{Inputs, assert_same, random};
    use super::super::{add_branch, conv3, depthwise_conv3, pointwise_conv};
    use super::*;

    /// A convolution of six channels after a norm of x. One tensor holds gamma, beta and the 27
    /// taps.
    type Convolution = fn(ConvInput, Tensor<3>) -> Tensor<5>;
    const CONVOLUTIONS: [Convolution; 3] = [
        |x, weight| conv3(x, weight.reshape([6, 6, 3, 3, 3])),
        |x, weight| depthwise_conv3(x, weight.narrow(1, 0, 1).reshape([6, 3, 3, 3])),
        |x, weight| pointwise_conv(x, weight.narrow(2, 0, 1).reshape([6, 6])),
    ];

    fn inputs(shape: [usize; 5]) -> Inputs {
        (random(shape), random([6, 1, 1, 2 + 6 * 27]))
    }

    fn normed(x: Tensor<5>, parameters: &Tensor<4>) -> DeferredGroupNorm {
        let of_norm = |n| parameters.clone().narrow(3, n, 1).reshape([6]);
        // A nonzero shift reveals a kernel that normalizes the zero padding too.
        let (gamma, beta) = (of_norm(0), of_norm(1) + 0.5);
        DeferredGroupNorm { x, gamma, beta, groups: 3, activation: Activation::LeakyRelu }
    }

    fn convolved((x, parameters): Inputs, convolution: Convolution, ahead: bool) -> Tensor<5> {
        let norm = normed(x, &parameters);
        let weight = parameters.narrow(3, 2, 6 * 27).reshape([6, 6, 27]);
        let input =
            if ahead { norm.into() } else { ConvInput::DeferredGroupNorm(norm).whole().into() };
        convolution(input, weight)
    }

    /// Compares the gradients of the norm's input, of gamma and beta, and of the convolution's
    /// weight.
    #[test]
    fn a_norm_left_to_a_convolution_gives_what_one_applied_before_gives() {
        for convolution in CONVOLUTIONS {
            for shape in [[2, 6, 3, 4, 5], [1, 6, 5, 7, 40]] {
                let run = |inputs, ahead| convolved(inputs, convolution, ahead);
                assert_same(
                    &inputs(shape),
                    |inputs| run(inputs, true),
                    |inputs| run(inputs, false),
                );
            }
        }
    }

    #[test]
    fn a_norm_left_to_a_sum_gives_what_one_applied_before_gives() {
        for sign in [1.0, -1.0] {
            // The stream depends on x too, so that both gradients of x are added.
            let own = |(x, parameters): Inputs| {
                add_branch(x.clone() * 0.5, normed(x, &parameters).into(), sign)
            };
            let stock = |(x, parameters): Inputs| {
                x.clone() * 0.5
                    + ConvInput::DeferredGroupNorm(normed(x, &parameters)).whole() * sign
            };
            assert_same(&inputs([2, 6, 3, 4, 5]), own, stock);
        }
    }

    /// Subtracting a half-precision branch from an f32 stream restores the stream exactly.
    #[test]
    fn a_wider_stream_gets_what_a_half_holds() {
        for half in [FloatDType::F16, FloatDType::BF16] {
            let (x, parameters) = inputs([2, 6, 3, 4, 5]);
            let (stream, x) = (x.zeros_like(), x.cast(half));
            let sum = add_branch(stream, normed(x.clone(), &parameters).into(), 1.0);
            let whole =
                ConvInput::DeferredGroupNorm(normed(x, &parameters)).whole().cast(FloatDType::F32);
            sum.into_data().assert_eq(&whole.into_data(), true);
        }
    }

    /// Covers vectors of one and of four values, borders inside a tile, and an f32 stream.
    #[cfg(feature = "gpu")]
    #[test]
    fn a_gpu_gives_what_the_cpu_gives() {
        use super::super::cube::tests::assert_gpu_matches_cpu;
        for shape in [[2, 6, 3, 4, 5], [1, 6, 5, 7, 40], [1, 6, 19, 36, 33]] {
            for convolution in CONVOLUTIONS {
                assert_gpu_matches_cpu(&inputs(shape), |inputs| {
                    convolved(inputs, convolution, true)
                });
            }
            for sign in [1.0, -1.0] {
                assert_gpu_matches_cpu(&inputs(shape), |(x, parameters): Inputs| {
                    let stream = x.clone().cast(FloatDType::F32) * 0.5;
                    add_branch(stream, normed(x, &parameters).into(), sign)
                });
            }
        }
    }
}
