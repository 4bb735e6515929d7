//! A convolution with its norm, and the residual branches made of them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Conv3, DepthwiseConv, GroupNorm, PointwiseConv, Precision, cast};
use crate::kernels::ConvInput;
use crate::network::layers::{self, Kernel};

/// One of the three convolutions.
#[derive(Module, Debug)]
pub enum Conv {
    /// 1³.
    Pointwise(PointwiseConv),
    /// Depthwise 3³.
    Depthwise(DepthwiseConv),
    /// Dense 3³.
    Dense(Conv3),
}

impl Conv {
    fn forward(&self, x: ConvInput) -> Tensor<5> {
        match self {
            Conv::Pointwise(conv) => conv.forward(x),
            Conv::Depthwise(conv) => conv.forward(x),
            Conv::Dense(conv) => conv.forward(x),
        }
    }
}

/// A convolution with its norm, as described by [`layers::ConvNorm`].
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// Norm and activation before the convolution.
    pub before: Option<GroupNorm>,
    /// The convolution.
    pub conv: Conv,
    /// Norm and activation after the convolution.
    pub after: Option<GroupNorm>,
    /// The type to compute in.
    #[module(skip)]
    pub precision: Precision,
}

impl ConvNorm {
    /// Creates a unit with random weights.
    pub fn new(unit: &layers::ConvNorm, precision: Precision, device: &Device) -> Self {
        let norm = |first: bool, channels: usize| {
            let norm = unit.norm.filter(|norm| norm.first == first)?;
            Some(GroupNorm::new(channels, norm.groups, norm.activation, device))
        };
        let conv = match unit.kernel {
            Kernel::Pointwise => {
                Conv::Pointwise(PointwiseConv::new(unit.from, unit.to, unit.bias, device))
            }
            Kernel::Depthwise3 => Conv::Depthwise(DepthwiseConv::new(unit.to, device)),
            Kernel::Conv3 => Conv::Dense(Conv3::new(unit.from, unit.to, device)),
        };
        ConvNorm { before: norm(true, unit.from), conv, after: norm(false, unit.to), precision }
    }

    /// Applies the unit. A norm after the convolution is left to the next op.
    ///
    /// # Shapes
    /// - x: `[b, from, k, j, i]`
    /// - output: `[b, to, k, j, i]`
    pub fn forward(&self, x: ConvInput) -> ConvInput {
        let x = match x {
            ConvInput::Whole(x) => ConvInput::Whole(cast(x, self.precision.compute)),
            ConvInput::Stream(x) if self.precision.compute != self.precision.stream => {
                ConvInput::Whole(cast(ConvInput::Stream(x).whole(), self.precision.compute))
            }
            // The output of a convolution, which has the type already.
            x => x,
        };
        let x = match &self.before {
            Some(norm) => norm.ahead(x.whole()).into(),
            None => x,
        };
        let y = self.conv.forward(x);
        match &self.after {
            Some(norm) => norm.ahead(y).into(),
            None => y.into(),
        }
    }
}

/// F or G of a reversible block, without an inner residual: the coupling is the residual.
#[derive(Module, Debug)]
pub struct ResidualBranch {
    /// The units, in order.
    pub units: Vec<ConvNorm>,
    /// Type of the output: that of the streams.
    #[module(skip)]
    pub precision: Precision,
}

impl ResidualBranch {
    /// Creates a branch with random weights.
    pub fn new(units: &[layers::ConvNorm], precision: Precision, device: &Device) -> Self {
        let units = units.iter().map(|unit| ConvNorm::new(unit, precision, device)).collect();
        ResidualBranch { units, precision }
    }

    /// Applies the branch. A norm at its end is left to the addition.
    ///
    /// # Shapes
    /// - x, output: `[b, c/2, k, j, i]`
    pub fn forward(&self, x: impl Into<ConvInput>) -> ConvInput {
        self.units.iter().fold(x.into(), |x, unit| unit.forward(x))
    }
}
