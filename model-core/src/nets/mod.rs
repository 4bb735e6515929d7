//! The networks as burn modules, in the order data passes them.

mod conv;
mod mbconv;
mod norm;
mod parameters;
mod reversible;
mod unet;

pub use conv::{Conv3, DepthwiseConv, PointwiseConv};
pub use mbconv::MbConv;
pub use norm::{ConvNorm, GroupNorm};
pub use reversible::{ReversibleBlock, ReversibleSequence};
pub use unet::{DecoderLevel, EncoderLevel, UNet3d};
