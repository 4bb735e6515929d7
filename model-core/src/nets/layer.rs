//! One layer as a module, and the feature maps that layers pass on.

use std::sync::{Arc, Mutex};

use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{ConvNorm, Precision, Reflection, ReversibleBlock, like};
use crate::kernels::{
    ConvInput, DeferredGroupNorm, Parent, depth_to_space, max_pool2, on_backend, primitive, record,
    space_to_depth, upsample2, upsample2_add,
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

/// The tensor x between two layers: whole, or as the two halves of a reversible block. A sequence
/// of blocks is entered by one split and left by one concatenation.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // one exists at a time
pub enum FeatureMap {
    /// `[b, c, k, j, i]`
    Whole(Tensor<5>),
    /// Both `[b, c/2, k, j, i]`.
    Halves(Tensor<5>, Tensor<5>),
    /// `[b, c, k/2, j/2, i/2]`, to be up-sampled in one pass with the addition of the skip
    /// connection.
    Smaller(Tensor<5>),
    /// To be normalized by the next layer.
    DeferredGroupNorm(DeferredGroupNorm),
}

impl FeatureMap {
    pub(super) fn is_autodiff(&self) -> bool {
        let (FeatureMap::Whole(x)
        | FeatureMap::Halves(x, _)
        | FeatureMap::Smaller(x)
        | FeatureMap::DeferredGroupNorm(DeferredGroupNorm { x, .. })) = self;
        x.device().is_autodiff()
    }

    /// Returns one tensor: concatenates halves, up-samples or normalizes if that is pending.
    pub fn whole(self) -> Tensor<5> {
        match self {
            FeatureMap::Whole(x) => x,
            FeatureMap::Halves(x1, x2) => Tensor::cat(vec![x1, x2], 1),
            FeatureMap::Smaller(x) => upsample2(x),
            FeatureMap::DeferredGroupNorm(norm) => ConvInput::DeferredGroupNorm(norm).whole(),
        }
    }

    /// Returns the input of a convolution.
    fn input(self) -> ConvInput {
        match self {
            FeatureMap::DeferredGroupNorm(norm) => norm.into(),
            parts => parts.whole().into(),
        }
    }

    /// Splits into halves. They are views of the whole if the device supports views.
    pub fn halves(self) -> (Tensor<5>, Tensor<5>) {
        match self {
            FeatureMap::Halves(x1, x2) => (x1, x2),
            parts => {
                let x = parts.whole();
                let half = x.dims()[1] / 2;
                (x.clone().narrow(1, 0, half), x.narrow(1, half, half))
            }
        }
    }

    /// Splits into halves that are copies, so that neither half keeps the memory of both alive.
    pub(super) fn owned_halves(self) -> (Tensor<5>, Tensor<5>) {
        match self {
            FeatureMap::Halves(x1, x2) => (x1, x2),
            parts => {
                let (x1, x2) = parts.halves();
                (x1.mul_scalar(1.0), x2.mul_scalar(1.0))
            }
        }
    }
}

/// Hands the bottleneck's tensor to a branch, and the branch's gradient back to the network. The
/// tensor itself need not be stored by the network.
#[derive(Debug, Clone, Default)]
pub struct BottleneckHook {
    value: Arc<Mutex<Option<Tensor<5>>>>,
    gradient: Arc<Mutex<Option<Tensor<5>>>>,
}

impl BottleneckHook {
    /// Returns the tensor of the last forward pass, without autodiff.
    ///
    /// # Panics
    /// Panics if no forward pass of a network with a branch has run.
    pub fn take(&self) -> Tensor<5> {
        let value = self.value.lock().expect("no one panics here").take();
        value.expect("a forward pass through a network with a branch")
    }

    /// Stores the gradient from the branch's own backward pass. Must be called before the network's
    /// backward pass.
    pub fn give(&self, gradient: Tensor<5>) {
        *self.gradient.lock().expect("no one panics here") = Some(gradient);
    }

    fn leave(&self, value: Tensor<5>) {
        *self.value.lock().expect("no one panics here") = Some(value);
    }

    /// Adds the branch's gradient to `gradient`.
    pub(super) fn add_to(&self, gradient: Tensor<5>) -> Tensor<5> {
        match self.gradient.lock().expect("no one panics here").take() {
            Some(given) => {
                let given = like(given, &gradient);
                gradient + given
            }
            None => gradient,
        }
    }
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

    /// Applies the layer. `kept` is the stack of tensors kept for the decoder.
    pub fn forward(
        &self,
        x: FeatureMap,
        kept: &mut Vec<Tensor<5>>,
        tap: Option<&BottleneckHook>,
    ) -> FeatureMap {
        use layers::Layer as L;
        let layer = match self {
            Layer::ConvNorm(unit) => {
                return match unit.forward(x.input()) {
                    ConvInput::Whole(x) => FeatureMap::Whole(x),
                    ConvInput::DeferredGroupNorm(norm) => FeatureMap::DeferredGroupNorm(norm),
                };
            }
            Layer::Block(block) => {
                let (y1, y2) = block.forward(x.halves());
                return FeatureMap::Halves(y1, y2);
            }
            Layer::Reflect(reflection) => return FeatureMap::Whole(reflection.forward(x.whole())),
            Layer::Plain(plain) => &plain.layer,
        };
        let mut last = || kept.pop().expect("every join has its Keep");
        match layer {
            L::Pool => FeatureMap::Whole(max_pool2(x.whole())),
            L::Upsample => FeatureMap::Smaller(x.whole()),
            L::SpaceToDepth => FeatureMap::Whole(space_to_depth(x.whole())),
            L::DepthToSpace => FeatureMap::Whole(depth_to_space(x.whole())),
            L::PushSkip => {
                let x = x.whole();
                kept.push(x.clone());
                FeatureMap::Whole(x)
            }
            L::AddSkip => FeatureMap::Whole(match x {
                FeatureMap::Smaller(x) => {
                    let skip = like(last(), &x);
                    upsample2_add(x, skip)
                }
                x => {
                    let x = x.whole();
                    let skip = like(last(), &x);
                    x + skip
                }
            }),
            L::ConcatSkip => {
                let x = x.whole();
                let skip = like(last(), &x);
                FeatureMap::Whole(Tensor::cat(vec![skip, x], 1))
            }
            L::PushHalf => {
                let (x1, x2) = x.halves();
                kept.push(x1);
                FeatureMap::Whole(x2)
            }
            L::ConcatHalf => {
                let x = x.whole();
                FeatureMap::Halves(like(last(), &x), x)
            }
            L::BottleneckHook => match tap {
                Some(tap) => FeatureMap::Whole(pass(x.whole(), tap)),
                None => x,
            },
            L::ConvNorm(_) | L::Block { .. } | L::Reflect { .. } => {
                unreachable!("layers with parameters were handled above")
            }
        }
    }
}

/// Returns x unchanged; in the backward pass its gradient receives that of the branch.
fn pass(x: Tensor<5>, tap: &BottleneckHook) -> Tensor<5> {
    if !x.device().is_autodiff() {
        tap.leave(x.clone());
        return x;
    }
    on_backend!(x, B => pass_on::<B>(x, tap))
}

fn pass_on<B: Backend>(x: Tensor<5>, tap: &BottleneckHook) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let x = Parent::<B, 5>::new(x);
    tap.leave(x.value.clone());
    let tap = tap.clone();
    record::<B, 1, 5>([x.guard], x.value, move |gradient, _, _| {
        let gradient = Tensor::<5>::from_primitive::<B>(gradient);
        [Some(primitive::<B, 5>(tap.add_to(gradient)))]
    })
}
