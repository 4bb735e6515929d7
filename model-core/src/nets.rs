//! The networks as burn modules, built from the layer list ([`crate::network::layers`]) in the
//! order in which data passes them.

mod conv;
mod drift;
mod layer;
mod norm;
mod parameters;
mod precision;
mod reflection;
mod reversible;
mod segment;
mod unet;
mod unit;
mod vae;

pub use conv::{Conv3, DepthwiseConv, PointwiseConv};
pub use layer::{BottleneckHook, FeatureMap, Layer, Plain};
pub use norm::GroupNorm;
pub use precision::Precision;
pub(crate) use precision::{cast, like};
pub use reflection::{Reflection, reflection_memory};
pub use reversible::ReversibleBlock;
pub use segment::Segment;
pub use unet::{UNet3d, backward};
pub use unit::{Conv, ConvNorm, ResidualBranch};
pub use vae::{Branch, PreactivationConv, VaeBranch, VaeLevel};
