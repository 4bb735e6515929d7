//! A convolution with its norm, and the halves of reversible blocks that are made of them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Conv3, DepthwiseConv, GroupNorm, PointwiseConv, Precision, cast};
use crate::kernels::ConvInput;
use crate::network::layers::{self, Kernel};

/// One of the convolutions.
#[derive(Module, Debug)]
pub enum Conv {
    /// 1³.
    Pointwise(PointwiseConv),
    /// 3³, every channel by itself.
    Depthwise(DepthwiseConv),
    /// 3³.
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

/// A convolution with the norm that belongs to it, as [`layers::Unit`] describes it.
#[derive(Module, Debug)]
pub struct Unit {
    /// The norm and activation before the convolution.
    pub before: Option<GroupNorm>,
    /// The convolution.
    pub conv: Conv,
    /// The norm and activation after it.
    pub after: Option<GroupNorm>,
    /// Computes in this type, whatever comes in.
    #[module(skip)]
    pub precision: Precision,
}

impl Unit {
    /// With random weights.
    pub fn new(unit: &layers::Unit, precision: Precision, device: &Device) -> Self {
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
        Unit { before: norm(true, unit.from), conv, after: norm(false, unit.to), precision }
    }

    /// The norm after the convolution is left to what reads the output.
    ///
    /// # Shapes
    /// - x: `[b, from, k, j, i]`
    /// - output: `[b, to, k, j, i]`
    pub fn forward(&self, x: ConvInput) -> ConvInput {
        let x = match x {
            ConvInput::Whole(x) => ConvInput::Whole(cast(x, self.precision.compute)),
            // Of a convolution, and so in that type.
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

/// F or G of a reversible block. It has no residual inside: the coupling is the residual.
#[derive(Module, Debug)]
pub struct ResidualBranch {
    /// In order.
    pub units: Vec<Unit>,
    /// Gives its result in the streams' type.
    #[module(skip)]
    pub precision: Precision,
}

impl ResidualBranch {
    /// With random weights.
    pub fn new(units: &[layers::Unit], precision: Precision, device: &Device) -> Self {
        let units = units.iter().map(|unit| Unit::new(unit, precision, device)).collect();
        ResidualBranch { units, precision }
    }

    /// The norm at the end is left to what adds the output to a stream.
    ///
    /// # Shapes
    /// - x, output: `[b, c/2, k, j, i]`
    pub fn forward(&self, x: Tensor<5>) -> ConvInput {
        self.units.iter().fold(ConvInput::Whole(x), |x, unit| unit.forward(x))
    }
}
