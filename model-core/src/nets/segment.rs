//! A run of layers that the backward pass treats alike, recorded as one node of burn's graph if it
//! is not stored.

use burn::backend::{Autodiff, DispatchKindConversion, DispatchTensor};
use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};

use super::local_graph::{LocalGraph, ParamNodes};
use super::rewind::{SequenceEnd, rewind, undo};
use super::{FeatureMap, Hooks, Layer, Precision, Skips, cast};
use crate::kernels::{GroupNormKernels, Parent, Place, on_backend, primitive, record};
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
    /// Whether the backward pass recovers the output from the decoder, so that it is not kept.
    #[module(skip)]
    pub is_recovered: bool,
}

impl Segment {
    /// Creates a segment with random weights.
    pub fn new(segment: &layers::Segment, precision: Precision, device: &Device) -> Self {
        let steps = segment.steps.iter();
        let layers = steps.map(|step| Layer::new(&step.layer, precision, device)).collect();
        // A skip that is converted to another type is not the output.
        let is_recovered = segment.is_recovered && precision.compute == precision.stream;
        Segment { layers, backward: segment.backward, is_recovered }
    }

    /// Applies the layers. `skips` are the tensors kept for the decoder. `hooks` receive what training
    /// reads.
    pub fn forward(&self, x: FeatureMap, skips: &mut Skips, hooks: Option<&Hooks>) -> FeatureMap {
        if self.backward == Backward::Stored {
            return self.run(x, skips, hooks);
        }
        let before = skips.take_place();
        let after = self.is_recovered.then(Place::default);
        let y = if x.is_autodiff() {
            let x = x.whole();
            let places = [before, after.clone()];
            FeatureMap::Whole(on_backend!(x, B => self.record::<B>(x, places, hooks)))
        } else {
            self.run(x, skips, hooks)
        };
        skips.leave_place(after);
        y
    }

    fn run(&self, x: FeatureMap, skips: &mut Skips, hooks: Option<&Hooks>) -> FeatureMap {
        self.layers.iter().fold(x, |x, layer| layer.forward(x, skips, hooks))
    }

    /// Applies layers that take one tensor and return one.
    fn through(&self, x: Tensor<5>, hooks: Option<&Hooks>) -> Tensor<5> {
        self.run(FeatureMap::Whole(x), &mut Skips::default(), hooks).whole()
    }

    /// Records one node for the whole segment. Its parents are the input and one parameter, so that
    /// the node is recorded even if the input is a constant. The gradients of all other parameters
    /// are registered under their own nodes. The places are those of input and output: a rewound
    /// input is left in its place, and the output is kept unless it has one.
    fn record<B: GroupNormKernels>(
        &self,
        x: Tensor<5>,
        [before, after]: [Option<Place>; 2],
        hooks: Option<&Hooks>,
    ) -> Tensor<5>
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
                let kept = after.unwrap_or_else(|| Place::with(y.clone()));
                (y, kept)
            }
            _ => (plain.through(x.clone(), hooks.as_ref()), Place::with(x)),
        };
        record::<B, 2, 5>([guard, anchor], y, move |gradient, wanted, gradients| {
            let gradient = Tensor::<5>::from_primitive::<B>(gradient);
            let kept = kept.take();
            let of_x = match plain.backward {
                Backward::Rewound => {
                    let tap = hooks.as_ref().map(|hooks| &hooks.bottleneck);
                    let wants_input = before.is_some();
                    let end = SequenceEnd { y: kept, gradient, wants_input };
                    let (x, of_x) = rewind::<B>(plain.layers, end, tap, &nodes, gradients);
                    if let Some((place, x)) = before.zip(x) {
                        place.put(x);
                    }
                    Some(of_x)
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
