//! The networks as burn modules, built from the layer list ([`crate::network::layers`]) in the
//! order in which data passes them.

mod bottleneck_hook;
mod conv;
mod drift;
mod feature_map;
mod hooks;
mod layer;
mod local_graph;
mod norm;
mod parameters;
mod precision;
mod reflection;
mod reversible;
mod rewind;
mod segment;
mod skips;
mod unet;
mod unit;
mod vae;

pub use bottleneck_hook::BottleneckHook;
pub use conv::{Conv3, DepthwiseConv, PointwiseConv};
pub use feature_map::FeatureMap;
pub use hooks::Hooks;
pub use layer::{Layer, Plain};
pub use norm::GroupNorm;
pub use precision::Precision;
pub(crate) use precision::{cast, like};
pub use reflection::{Reflection, reflection_memory};
pub use reversible::ReversibleBlock;
pub use segment::Segment;
pub use skips::Skips;
pub use unet::{UNet3d, backward};
pub use unit::{Conv, ConvNorm, ResidualBranch};
pub use vae::{Branch, PreactivationConv, VaeBranch, VaeLevel};
