//! What a convolution reads: a tensor, or what a norm makes of one, which is then never kept.

use burn::Tensor;

use super::group_norm;
use crate::config::Activation;

/// A group norm with its activation that is still to be applied, by what reads its output.
#[derive(Debug, Clone)]
pub struct Normed {
    /// `[b, c, k, j, i]`
    pub x: Tensor<5>,
    /// Scale, `[c]`.
    pub gamma: Tensor<1>,
    /// Shift, `[c]`.
    pub beta: Tensor<1>,
    /// Number of groups.
    pub groups: usize,
    /// What follows.
    pub activation: Activation,
}

/// The input of a convolution.
#[allow(clippy::large_enum_variant)] // one exists at a time
#[derive(Debug, Clone)]
pub enum Input {
    /// As it is.
    Whole(Tensor<5>),
    /// The backward pass keeps the norm's own input, and computes its output again.
    Normed(Normed),
}

impl Input {
    /// A tensor of its shape and type, on its device.
    pub fn tensor(&self) -> &Tensor<5> {
        let (Input::Whole(x) | Input::Normed(Normed { x, .. })) = self;
        x
    }

    /// With the norm applied.
    ///
    /// # Shapes
    /// - output: `[b, c, k, j, i]`
    pub fn whole(self) -> Tensor<5> {
        match self {
            Input::Whole(x) => x,
            Input::Normed(norm) => {
                group_norm(norm.x, norm.gamma, norm.beta, norm.groups, norm.activation)
            }
        }
    }
}

impl From<Tensor<5>> for Input {
    fn from(x: Tensor<5>) -> Input {
        Input::Whole(x)
    }
}

impl From<Normed> for Input {
    fn from(norm: Normed) -> Input {
        Input::Normed(norm)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::super::{conv3, depthwise_conv3, pointwise_conv};
    use super::*;

    /// The gradients of what the norm is of, of its parameters, and of the convolution's weight.
    #[test]
    fn a_norm_left_to_a_convolution_gives_what_one_applied_before_gives() {
        let shape = [2, 6, 3, 4, 5];
        // gamma, beta, and 27 taps for each of six channels to six.
        let parameters = random([6, 1, 1, 2 + 6 * 27]);
        type Convolution = fn(Input, Tensor<3>) -> Tensor<5>;
        let convolutions: [Convolution; 3] = [
            |x, weight| conv3(x, weight.reshape([6, 6, 3, 3, 3])),
            |x, weight| depthwise_conv3(x, weight.narrow(1, 0, 1).reshape([6, 3, 3, 3])),
            |x, weight| pointwise_conv(x, weight.narrow(2, 0, 1).reshape([6, 6])),
        ];
        for convolution in convolutions {
            let run = |(x, parameters): (Tensor<5>, Tensor<4>), ahead: bool| {
                let of_norm = |n| parameters.clone().narrow(3, n, 1).reshape([6]);
                let (gamma, beta) = (of_norm(0), of_norm(1));
                let norm = Normed { x, gamma, beta, groups: 3, activation: Activation::LeakyRelu };
                let weight = parameters.narrow(3, 2, 6 * 27).reshape([6, 6, 27]);
                let input = if ahead { norm.into() } else { Input::Normed(norm).whole().into() };
                convolution(input, weight)
            };
            let inputs = (random(shape), parameters.clone());
            assert_same(&inputs, |inputs| run(inputs, true), |inputs| run(inputs, false));
        }
    }
}
