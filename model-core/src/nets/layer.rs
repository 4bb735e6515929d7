//! One layer as a module, and what layers pass on to each other.

use std::sync::{Arc, Mutex};

use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Precision, Reflection, ReversibleBlock, Unit, like};
use crate::kernels::{
    ConvInput, DeferredGroupNorm, Parent, depth_to_space, max_pool2, on_backend, primitive, record,
    space_to_depth, upsample2, upsample2_add,
};
use crate::network::layers;

/// A layer, as [`layers::Layer`] describes it.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a network has tens of them
pub enum Layer {
    /// A convolution with its norm.
    Unit(Unit),
    /// A reversible block.
    Block(ReversibleBlock),
    /// An orthogonal 1³ convolution.
    Reflect(Reflection),
    /// Anything without parameters.
    Plain(Plain),
}

/// A layer without parameters.
#[derive(Module, Debug)]
pub struct Plain {
    /// Which.
    #[module(skip)]
    pub layer: layers::Layer,
}

/// x: whole, or as the halves that reversible blocks work on. A sequence of blocks is entered by
/// one split and left by one join.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // one exists at a time
pub enum FeatureMap {
    /// `[b, c, k, j, i]`
    Whole(Tensor<5>),
    /// Both `[b, c/2, k, j, i]`.
    Halves(Tensor<5>, Tensor<5>),
    /// `[b, c, k/2, j/2, i/2]`, still to be up-sampled: in one pass with what is added to it.
    Smaller(Tensor<5>),
    /// Still to be normalized, by what reads it.
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

    /// Joined, and up-sampled where that is still to be done.
    pub fn whole(self) -> Tensor<5> {
        match self {
            FeatureMap::Whole(x) => x,
            FeatureMap::Halves(x1, x2) => Tensor::cat(vec![x1, x2], 1),
            FeatureMap::Smaller(x) => upsample2(x),
            FeatureMap::DeferredGroupNorm(norm) => ConvInput::DeferredGroupNorm(norm).whole(),
        }
    }

    /// For a convolution.
    fn input(self) -> ConvInput {
        match self {
            FeatureMap::DeferredGroupNorm(norm) => norm.into(),
            parts => parts.whole().into(),
        }
    }

    /// Split; the halves are views of the whole where the device has views.
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

    /// Split; the halves are copies, so that neither keeps the memory of both.
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

/// Where a branch takes a tensor from inside a network, and gives its gradient back. The tensor
/// itself may be one that is not stored.
#[derive(Debug, Clone, Default)]
pub struct BottleneckHook {
    value: Arc<Mutex<Option<Tensor<5>>>>,
    gradient: Arc<Mutex<Option<Tensor<5>>>>,
}

impl BottleneckHook {
    /// What the forward pass left here, without autodiff.
    ///
    /// # Panics
    /// When no forward pass of a network with a branch went by.
    pub fn take(&self) -> Tensor<5> {
        let value = self.value.lock().expect("no one panics here").take();
        value.expect("a forward pass through a network with a branch")
    }

    /// The gradient that the branch's own backward pass found for it; to be given before that of
    /// the network.
    pub fn give(&self, gradient: Tensor<5>) {
        *self.gradient.lock().expect("no one panics here") = Some(gradient);
    }

    fn leave(&self, value: Tensor<5>) {
        *self.value.lock().expect("no one panics here") = Some(value);
    }

    /// A gradient, and what the branch added to it.
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
    /// With random weights.
    pub fn new(layer: &layers::Layer, precision: Precision, device: &Device) -> Self {
        match layer {
            layers::Layer::Unit(unit) => Layer::Unit(Unit::new(unit, precision, device)),
            layers::Layer::Block { f, g } => {
                Layer::Block(ReversibleBlock::new(f, g, precision, device))
            }
            layers::Layer::Reflect { channels, reflections, .. } => {
                Layer::Reflect(Reflection::new(*reflections, *channels, device))
            }
            other => Layer::Plain(Plain { layer: other.clone() }),
        }
    }

    /// Takes x, gives the next; `kept` are the tensors kept aside for the decoder.
    pub fn forward(
        &self,
        x: FeatureMap,
        kept: &mut Vec<Tensor<5>>,
        tap: Option<&BottleneckHook>,
    ) -> FeatureMap {
        use layers::Layer as L;
        let layer = match self {
            Layer::Unit(unit) => {
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
            L::Keep => {
                let x = x.whole();
                kept.push(x.clone());
                FeatureMap::Whole(x)
            }
            L::Add => FeatureMap::Whole(match x {
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
            L::Concat => {
                let x = x.whole();
                let skip = like(last(), &x);
                FeatureMap::Whole(Tensor::cat(vec![skip, x], 1))
            }
            L::PushSkip => {
                let (x1, x2) = x.halves();
                kept.push(x1);
                FeatureMap::Whole(x2)
            }
            L::ConcatSkip => {
                let x = x.whole();
                FeatureMap::Halves(like(last(), &x), x)
            }
            L::BottleneckHook => match tap {
                Some(tap) => FeatureMap::Whole(pass(x.whole(), tap)),
                None => x,
            },
            L::Unit(_) | L::Block { .. } | L::Reflect { .. } => {
                unreachable!("layers with parameters were handled above")
            }
        }
    }
}

/// x itself; its gradient gets what the branch gives.
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
