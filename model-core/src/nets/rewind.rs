//! The rewinding backward pass of reversible layers.

use burn::backend::autodiff::grads::Gradients;
use burn::backend::{Autodiff, DispatchKindConversion, DispatchTensor};
use burn::tensor::Tensor;

use super::local_graph::{LocalGraph, ParamNodes};
use super::{BottleneckHook, FeatureMap, Layer, ResidualBranch, ReversibleBlock, cast};
use crate::kernels::{
    GroupNormKernels, add_kernel_input, add_or_subtract, depth_to_space, space_to_depth,
};
use crate::network::layers;

/// State of the rewinding backward pass: the recovered values and their gradients.
struct Walk {
    value: FeatureMap,
    gradient: FeatureMap,
    kept_values: Vec<Tensor<5>>,
    kept_gradients: Vec<Tensor<5>>,
}

/// Rewinds layers: recovers every layer's input from its output and computes the gradients. Each
/// residual branch is evaluated once, which serves both.
///
/// Peak memory, for streams of width h: both streams and both gradients (4h), plus what the current
/// branch stores and needs for its backward pass. For an MBConv with expansion t these are the
/// outputs of its first two convolutions (2t) and the gradients of the projection's output and
/// input (t + 1), in units of h. For a branch of one convolution: its output and the gradient of it
/// (2). The last norm of a branch is applied in place while the branch is subtracted from a stream,
/// before the backward pass of the branch begins.
///
/// A sequence copies its full width only at its ends: the output and its gradient are split before
/// the first branch, and the gradients are concatenated after the last. An orthogonal convolution
/// works on the full width, so it separates two sequences. Nothing grows with the number of blocks.
///
/// # Shapes
/// - y, gradient, output: `[b, c, k, j, i]`
pub(super) fn rewind<B: GroupNormKernels>(
    layers: Vec<Layer>,
    y: Tensor<5>,
    gradient: Tensor<5>,
    tap: Option<&BottleneckHook>,
    nodes: &ParamNodes<B>,
    gradients: &mut Gradients,
) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let mut walk = Walk {
        value: FeatureMap::Whole(y),
        gradient: FeatureMap::Whole(gradient),
        kept_values: Vec::new(),
        kept_gradients: Vec::new(),
    };
    for layer in layers.into_iter().rev() {
        walk = match layer {
            Layer::Block(block) => walk.block::<B>(block, nodes, gradients),
            Layer::Reflect(reflection) => {
                let (y, gradient) = (walk.value.whole(), walk.gradient.whole());
                let gradient = reflection.inverse(gradient);
                // Recovers the input in the graph that also gives the gradients of the vectors. W
                // is orthogonal, so δW x = −W δWᵀ y, and g · δW x = −Wᵀg · δWᵀ y.
                let back = |layer: &super::Reflection, y| layer.inverse(y).into();
                let seed = gradient.clone().neg();
                let (local, x) = LocalGraph::forward::<B>(reflection, back, y, false, seed);
                local.backward(nodes, gradients);
                Walk {
                    value: FeatureMap::Whole(x.x),
                    gradient: FeatureMap::Whole(gradient),
                    ..walk
                }
            }
            Layer::Plain(plain) => walk.plain(&plain.layer, tap),
            Layer::ConvNorm(_) => unreachable!("a convolution is not rewound"),
        };
    }
    walk.gradient.whole()
}

impl Walk {
    fn block<B: GroupNormKernels>(
        self,
        block: ReversibleBlock,
        nodes: &ParamNodes<B>,
        gradients: &mut Gradients,
    ) -> Walk
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        let forward = |half: &ResidualBranch, x| half.forward(x);
        let stream = block.f.precision.stream;
        let (mut y1, mut y2) = self.value.owned_halves();
        let (gradient1, gradient2) = self.gradient.owned_halves();
        let (mut gradient1, mut gradient2) = (cast(gradient1, stream), cast(gradient2, stream));
        let seed = gradient2.clone();
        let (g, output) = LocalGraph::forward::<B>(block.g, forward, y1.clone(), true, seed);
        y2 = add_kernel_input::<B>(y2, output, -1.0);
        gradient1 = add_or_subtract(gradient1, g.backward(nodes, gradients).expect("wanted"), 1.0);
        let seed = gradient1.clone();
        let (f, output) = LocalGraph::forward::<B>(block.f, forward, y2.clone(), true, seed);
        y1 = add_kernel_input::<B>(y1, output, -1.0);
        gradient2 = add_or_subtract(gradient2, f.backward(nodes, gradients).expect("wanted"), 1.0);
        let (value, gradient) =
            (FeatureMap::Halves(y1, y2), FeatureMap::Halves(gradient1, gradient2));
        Walk { value, gradient, ..self }
    }

    fn plain(mut self, layer: &layers::Layer, tap: Option<&BottleneckHook>) -> Walk {
        let value = undo(layer, self.value, &mut self.kept_values);
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
