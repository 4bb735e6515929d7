//! The rewinding backward pass of reversible layers.

use burn::backend::autodiff::grads::Gradients;
use burn::backend::{Autodiff, DispatchKindConversion, DispatchTensor};
use burn::tensor::Tensor;

use super::local_graph::{LocalGraph, ParamNodes};
use super::{BottleneckHook, FeatureMap, Layer, ResidualBranch, ReversibleBlock, cast};
use crate::kernels::{
    ConvInput, GroupNormKernels, Place, StreamInput, add_kernel_input, depth_to_space,
    space_to_depth,
};
use crate::network::layers;

/// The end of a sequence, where the backward pass begins.
pub(super) struct SequenceEnd {
    /// The output, `[b, c, k, j, i]`.
    pub y: Tensor<5>,
    /// Its gradient.
    pub gradient: Tensor<5>,
    /// Whether the sequence's input is to be recovered, beside its gradient.
    pub wants_input: bool,
}

/// State of the rewinding backward pass: the recovered values and their gradients.
struct Walk {
    /// Absent after the last branch, if the sequence's input is not wanted.
    value: Option<FeatureMap>,
    gradient: FeatureMap,
    kept_values: Vec<Tensor<5>>,
    kept_gradients: Vec<Tensor<5>>,
}

/// Rewinds layers: recovers every layer's input from its output and computes the gradients. Each
/// residual branch is evaluated once, which serves both. Returns the input, if wanted, and its gradient.
///
/// Peak memory, for streams of width h: both streams and both gradients (4h), plus what the current
/// branch stores and needs for its backward pass. For an MBConv with expansion t these are the
/// outputs of its three convolutions (2t + 1), the last of which its gradient overwrites, and the
/// gradient of the projection's input (t), in units of h. For a branch of one convolution: its output, which the gradient of
/// it overwrites (1). The gradient of a branch's input is added to that of its stream. The last norm
/// of a branch is applied in place while the branch is subtracted from a stream, before the backward
/// pass of the branch begins.
///
/// A sequence copies its full width only at its ends: the output and its gradient are split before
/// the first branch, and the gradients are concatenated after the last. The CPU splits one volume in
/// f32 in place, with half of it as a copy. An orthogonal convolution
/// works on the full width, so it separates two sequences. Nothing grows with the number of blocks.
///
/// # Shapes
/// - output: both `[b, c, k, j, i]`
pub(super) fn rewind<B: GroupNormKernels>(
    layers: Vec<Layer>,
    SequenceEnd { y, gradient, wants_input }: SequenceEnd,
    tap: Option<&BottleneckHook>,
    nodes: &ParamNodes<B>,
    gradients: &mut Gradients,
) -> (Option<Tensor<5>>, Tensor<5>)
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let mut walk = Walk {
        value: Some(FeatureMap::Whole(y)),
        gradient: FeatureMap::Whole(gradient),
        kept_values: Vec::new(),
        kept_gradients: Vec::new(),
    };
    for (n, layer) in layers.into_iter().enumerate().rev() {
        walk = match layer {
            Layer::Block(block) => walk.block::<B>(block, n > 0 || wants_input, nodes, gradients),
            Layer::Reflect(reflection) => {
                let y = walk.value.expect("wanted by every layer but the first").whole();
                let gradient = walk.gradient.whole();
                let gradient = reflection.inverse(gradient);
                // Recovers the input in the graph that also gives the gradients of the vectors. W
                // is orthogonal, so δW x = −W δWᵀ y, and g · δW x = −Wᵀg · δWᵀ y.
                let back = |layer: &super::Reflection, y| layer.inverse(y).into();
                let seed = gradient.clone().neg();
                let (local, x) = LocalGraph::forward::<B>(reflection, back, y, false, seed);
                local.backward(nodes, gradients);
                Walk {
                    value: Some(FeatureMap::Whole(x.x)),
                    gradient: FeatureMap::Whole(gradient),
                    ..walk
                }
            }
            Layer::Plain(plain) => walk.plain(&plain.layer, tap),
            Layer::ConvNorm(_) => unreachable!("a convolution is not rewound"),
        };
    }
    let gradient = walk.gradient.whole();
    (walk.value.filter(|_| wants_input).map(FeatureMap::whole), gradient)
}

impl Walk {
    fn block<B: GroupNormKernels>(
        self,
        block: ReversibleBlock,
        wants_input: bool,
        nodes: &ParamNodes<B>,
        gradients: &mut Gradients,
    ) -> Walk
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        let place = Place::default();
        let forward = |half: &ResidualBranch, x| {
            half.forward(ConvInput::Stream(StreamInput { x, gradient: place.clone() }))
        };
        let stream = block.f.precision.stream;
        let value = self.value.expect("wanted by every layer but the first");
        let (y1, mut y2) = value.owned_halves();
        let (gradient1, gradient2) = self.gradient.owned_halves();
        let (gradient1, gradient2) = (cast(gradient1, stream), cast(gradient2, stream));
        let seed = gradient2.clone();
        let (g, output) = LocalGraph::forward::<B>(block.g, forward, y1.clone(), false, seed);
        y2 = add_kernel_input::<B>(y2, output, -1.0);
        place.put(gradient1);
        g.backward(nodes, gradients);
        let gradient1 = place.take();
        let seed = gradient1.clone();
        let y1 = wants_input.then_some(y1);
        let (f, output) = LocalGraph::forward::<B>(block.f, forward, y2.clone(), false, seed);
        let value = y1.map(|y1| FeatureMap::Halves(add_kernel_input::<B>(y1, output, -1.0), y2));
        place.put(gradient2);
        f.backward(nodes, gradients);
        Walk { value, gradient: FeatureMap::Halves(gradient1, place.take()), ..self }
    }

    fn plain(mut self, layer: &layers::Layer, tap: Option<&BottleneckHook>) -> Walk {
        let value = self.value.map(|value| undo(layer, value, &mut self.kept_values));
        let mut gradient = undo(layer, self.gradient, &mut self.kept_gradients);
        if let (layers::Layer::BottleneckHook, Some(tap)) = (layer, tap) {
            gradient = FeatureMap::Whole(tap.add_to(gradient.whole()));
        }
        Walk { value, gradient, ..self }
    }
}

/// Inverts a layer without parameters: a permutation, a split or a concatenation. All are
/// orthogonal, so gradients go the same way. `kept` is the stack of halves that an inverted
/// concatenation releases and the matching inverted split consumes.
pub(super) fn undo(layer: &layers::Layer, y: FeatureMap, kept: &mut Vec<Tensor<5>>) -> FeatureMap {
    use layers::Layer as L;
    match layer {
        L::SpaceToDepth => FeatureMap::Whole(depth_to_space(y.whole())),
        L::DepthToSpace => FeatureMap::Whole(space_to_depth(y.whole())),
        L::ConcatHalf => {
            let (x1, x2) = y.halves();
            kept.push(x1);
            FeatureMap::Whole(x2)
        }
        L::PushHalf => FeatureMap::Halves(kept.pop().expect("joined further on"), y.whole()),
        L::BottleneckHook => y,
        other => unreachable!("{other:?} is not rewound"),
    }
}
