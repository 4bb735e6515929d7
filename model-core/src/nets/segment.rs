//! A run of layers that the backward pass treats alike, recorded as one node of burn's graph if it
//! is not stored.

use burn::backend::{Autodiff, DispatchKindConversion, DispatchTensor};
use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};

use super::local_graph::{LocalGraph, ParamNodes};
use super::rewind::{rewind, undo};
use super::{FeatureMap, Hooks, Layer, Precision, cast};
use crate::kernels::{GroupNormKernels, Parent, on_backend, primitive, record};
use crate::network::layers::{self, Backward};

/// A run of layers. The backward pass keeps only the output of rewound layers, and only the input
/// of recomputed ones, independent of their number.
#[derive(Module, Debug)]
pub struct Segment {
    /// First to last.
    pub layers: Vec<Layer>,
    /// The source of activations in the backward pass.
    #[module(skip)]
    pub backward: Backward,
}

impl Segment {
    /// Creates a segment with random weights.
    pub fn new(segment: &layers::Segment, precision: Precision, device: &Device) -> Self {
        let steps = segment.steps.iter();
        let layers = steps.map(|step| Layer::new(&step.layer, precision, device)).collect();
        Segment { layers, backward: segment.backward }
    }

    /// Applies the layers. `kept` is the stack of tensors kept for the decoder. `hooks` receive what
    /// training reads.
    pub fn forward(
        &self,
        x: FeatureMap,
        kept: &mut Vec<Tensor<5>>,
        hooks: Option<&Hooks>,
    ) -> FeatureMap {
        if self.backward == Backward::Stored || !x.is_autodiff() {
            return self.run(x, kept, hooks);
        }
        let x = x.whole();
        FeatureMap::Whole(on_backend!(x, B => self.record::<B>(x, hooks)))
    }

    fn run(&self, x: FeatureMap, kept: &mut Vec<Tensor<5>>, hooks: Option<&Hooks>) -> FeatureMap {
        self.layers.iter().fold(x, |x, layer| layer.forward(x, kept, hooks))
    }

    /// Applies layers that take one tensor and return one.
    fn through(&self, x: Tensor<5>, hooks: Option<&Hooks>) -> Tensor<5> {
        self.run(FeatureMap::Whole(x), &mut Vec::new(), hooks).whole()
    }

    /// Records one node for the whole segment. Its parents are the input and one parameter, so that
    /// the node is recorded even if the input is a constant. The gradients of all other parameters
    /// are registered under their own nodes.
    fn record<B: GroupNormKernels>(&self, x: Tensor<5>, hooks: Option<&Hooks>) -> Tensor<5>
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        let mut nodes = ParamNodes::<B>::default();
        self.visit(&mut nodes);
        let anchor = nodes.anchor.take().expect("what is not stored has parameters");
        let x = Parent::<B, 5>::new(x);
        let plain = self.valid();
        let (guard, x) = (x.guard, x.value);
        let (hooks, float) = (hooks.cloned(), FloatDType::from(x.dtype()));
        let (y, kept) = match self.backward {
            Backward::Rewound => {
                let y = plain.through(x, hooks.as_ref());
                (y.clone(), y)
            }
            _ => (plain.through(x.clone(), hooks.as_ref()), x),
        };
        record::<B, 2, 5>([guard, anchor], y, move |gradient, wanted, gradients| {
            let gradient = Tensor::<5>::from_primitive::<B>(gradient);
            let of_x = match plain.backward {
                Backward::Rewound => {
                    let tap = hooks.as_ref().map(|hooks| &hooks.bottleneck);
                    Some(rewind::<B>(plain.layers, kept, gradient, tap, &nodes, gradients))
                }
                _ => {
                    let forward = |plain: &Segment, x| plain.through(x, None).into();
                    let (local, output) =
                        LocalGraph::forward::<B>(plain, forward, kept, wanted[0], gradient);
                    drop(output);
                    local.backward(&nodes, gradients)
                }
            };
            // The streams may have another type than x. The gradient of the anchor parameter was
            // registered like all others.
            let of_x = of_x.filter(|_| wanted[0]);
            [of_x.map(|of_x| primitive::<B, 5>(cast(of_x, float))), None]
        })
    }

    /// Recovers the input from an output, in the way of the backward pass but without gradients.
    ///
    /// # Shapes
    /// - y, output: `[b, c, k, j, i]`
    ///
    /// # Panics
    /// Panics if a layer is not invertible.
    pub fn inverse(&self, y: Tensor<5>) -> Tensor<5> {
        let mut kept = Vec::new();
        let back = |y: FeatureMap, layer: &Layer| match layer {
            Layer::Block(block) => {
                let (x1, x2) = block.inverse(y.halves());
                FeatureMap::Halves(x1, x2)
            }
            Layer::Reflect(reflection) => FeatureMap::Whole(reflection.inverse(y.whole())),
            Layer::Plain(plain) => undo(&plain.layer, y, &mut kept),
            Layer::ConvNorm(_) => panic!("a convolution has no inverse"),
        };
        self.layers.iter().rev().fold(FeatureMap::Whole(y), back).whole()
    }
}
