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
