//! One layer as a module.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::skips::Skip;
use super::{ConvNorm, FeatureMap, Hooks, Precision, Reflection, ReversibleBlock, Skips, like};
use crate::kernels::{
    ConvInput, depth_to_space, max_pool2_of_skip, space_to_depth, upsample2_add_recovered,
};
use crate::network::layers;

/// A layer, as described by [`layers::Layer`].
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a network has tens of them
pub enum Layer {
    /// A convolution with its norm.
    ConvNorm(ConvNorm),
    /// A reversible block.
    Block(ReversibleBlock),
    /// An orthogonal 1³ convolution.
    Reflect(Reflection),
    /// A layer without parameters.
    Plain(Plain),
}

/// A layer without parameters.
#[derive(Module, Debug)]
pub struct Plain {
    /// The layer's kind.
    #[module(skip)]
    pub layer: layers::Layer,
}

impl Layer {
    /// Creates a layer with random weights.
    pub fn new(layer: &layers::Layer, precision: Precision, device: &Device) -> Self {
        match layer {
            layers::Layer::ConvNorm(unit) => {
                Layer::ConvNorm(ConvNorm::new(unit, precision, device))
            }
            layers::Layer::Block { f, g } => {
                Layer::Block(ReversibleBlock::new(f, g, precision, device))
            }
            layers::Layer::Reflect { channels, reflections, .. } => {
                Layer::Reflect(Reflection::new(*reflections, *channels, device))
            }
            other => Layer::Plain(Plain { layer: other.clone() }),
        }
    }

    /// Applies the layer. `skips` are the tensors kept for the decoder.
    pub fn forward(&self, x: FeatureMap, skips: &mut Skips, hooks: Option<&Hooks>) -> FeatureMap {
        use layers::Layer as L;
        let layer = match self {
            Layer::ConvNorm(unit) => {
                return match unit.forward(x.input()) {
                    ConvInput::DeferredGroupNorm(norm) => FeatureMap::DeferredGroupNorm(norm),
                    x => FeatureMap::Whole(x.whole()),
                };
            }
            Layer::Block(block) => {
                let (y1, y2) = block.forward(x.halves());
                return FeatureMap::Halves(y1, y2);
            }
            Layer::Reflect(reflection) => return FeatureMap::Whole(reflection.forward(x.whole())),
            Layer::Plain(plain) => &plain.layer,
        };
        match layer {
            L::Pool => FeatureMap::Whole(max_pool2_of_skip(x.whole(), skips.last_place())),
            L::Upsample => FeatureMap::Smaller(x.whole()),
            L::SpaceToDepth => FeatureMap::Whole(space_to_depth(x.whole())),
            L::DepthToSpace => FeatureMap::Whole(depth_to_space(x.whole())),
            L::PushSkip => {
                let x = x.whole();
                skips.push(x.clone());
                FeatureMap::Whole(x)
            }
            L::AddSkip => {
                let Skip { x: skip, place } = skips.pop();
                skips.leave_place(place.clone());
                FeatureMap::Whole(match x {
                    FeatureMap::Smaller(x) => {
                        let skip = like(skip, &x);
                        upsample2_add_recovered(x, skip, place)
                    }
                    x => {
                        let x = x.whole();
                        let skip = like(skip, &x);
                        x + skip
                    }
                })
            }
            L::ConcatSkip => {
                let x = x.whole();
                let skip = like(skips.pop().x, &x);
                FeatureMap::Whole(Tensor::cat(vec![skip, x], 1))
            }
            L::PushHalf => {
                let (x1, x2) = x.halves();
                skips.push(x1);
                FeatureMap::Whole(x2)
            }
            L::ConcatHalf => {
                let x = x.whole();
                FeatureMap::Halves(like(skips.pop().x, &x), x)
            }
            L::BottleneckHook => match hooks {
                Some(hooks) => FeatureMap::Whole(hooks.bottleneck.pass(x.whole())),
                None => x,
            },
            L::DecoderHook => match hooks {
                Some(hooks) => {
                    let x = x.whole();
                    hooks.leave_level(x.clone());
                    FeatureMap::Whole(x)
                }
                None => x,
            },
            L::ConvNorm(_) | L::Block { .. } | L::Reflect { .. } => {
                unreachable!("layers with parameters were handled above")
            }
        }
    }
}
