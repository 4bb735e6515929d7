//! Reversible blocks (Gomez et al. 2017; Pendse et al. 2020, section 2.1), and the walk back that
//! rewinds them.

use burn::backend::autodiff::grads::Gradients;
use burn::backend::{Autodiff, DispatchKindConversion, DispatchTensor};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::segment::{LocalGraph, ParamNodes};
use super::{BottleneckHook, FeatureMap, Layer, Precision, ResidualBranch, cast};
use crate::kernels::{
    GroupNormKernels, add_branch, add_kernel_input, depth_to_space, space_to_depth,
};
use crate::network::layers;

/// `y1 = x1 + F(x2); y2 = x2 + G(y1)`, on halves of the channels.
#[derive(Module, Debug)]
pub struct ReversibleBlock {
    /// F.
    pub f: ResidualBranch,
    /// G.
    pub g: ResidualBranch,
}

impl ReversibleBlock {
    /// With random weights.
    pub fn new(
        f: &[layers::Unit],
        g: &[layers::Unit],
        precision: Precision,
        device: &Device,
    ) -> Self {
        let half = |units| ResidualBranch::new(units, precision, device);
        ReversibleBlock { f: half(f), g: half(g) }
    }

    /// # Shapes
    /// - x1, x2, y1, y2: `[b, c/2, k, j, i]`
    pub fn forward(&self, (x1, x2): (Tensor<5>, Tensor<5>)) -> (Tensor<5>, Tensor<5>) {
        let stream = self.f.precision.stream;
        let (x1, x2) = (cast(x1, stream), cast(x2, stream));
        let y1 = add_branch(x1, self.f.forward(x2.clone()), 1.0);
        let y2 = add_branch(x2, self.g.forward(y1.clone()), 1.0);
        (y1, y2)
    }

    /// `x2 = y2 − G(y1); x1 = y1 − F(x2)`.
    ///
    /// # Shapes
    /// - y1, y2, x1, x2: `[b, c/2, k, j, i]`
    pub fn inverse(&self, (y1, y2): (Tensor<5>, Tensor<5>)) -> (Tensor<5>, Tensor<5>) {
        let x2 = add_branch(y2, self.g.forward(y1.clone()), -1.0);
        let x1 = add_branch(y1, self.f.forward(x2.clone()), -1.0);
        (x1, x2)
    }
}

/// What a walk back carries: the values, recovered on the way, and their gradients.
struct Walk {
    value: FeatureMap,
    gradient: FeatureMap,
    kept_values: Vec<Tensor<5>>,
    kept_gradients: Vec<Tensor<5>>,
}

/// Walks layers back: recovers every layer's input from its output, and takes the gradients on the
/// way. Each half is computed once, which serves both.
///
/// Alive at the peak, for a sequence of blocks whose streams are h wide: both streams and both
/// gradients (4h), and what the one half being differentiated stores and needs for its own backward
/// pass. For an MBConv of expansion t these are the outputs of its first two convolutions (2t), and
/// the gradients of the projection's output and input (t + 1), all in h; on the CPU, already before,
/// the norm's output that the projection reads, a copy that burn's product packs of it, and the
/// projection's output (2t + 1). For a half of one convolution, its output and that one's gradient
/// (2). The norm at the end is applied as it is taken away from a stream, in place, before the
/// backward pass begins.
///
/// A sequence copies its whole width at its ends alone: its output and the gradient are split
/// before the first half, and the gradients are joined after the last. An orthogonal convolution on
/// the way works on the whole width, and so ends one sequence and begins another. Nothing grows with
/// the number of blocks.
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
                // The input is recovered in the graph that gives the vectors' gradients: since W is
                // orthogonal, δW x = −W δWᵀ y, and so g · δW x = −Wᵀg · δWᵀ y.
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
            Layer::Unit(_) => unreachable!("a convolution is not rewound"),
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
        gradient1 = gradient1 + g.backward(nodes, gradients).expect("wanted");
        let seed = gradient1.clone();
        let (f, output) = LocalGraph::forward::<B>(block.f, forward, y2.clone(), true, seed);
        y1 = add_kernel_input::<B>(y1, output, -1.0);
        gradient2 = gradient2 + f.backward(nodes, gradients).expect("wanted");
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

/// The way back through a layer without parameters: a permutation, a split or a join, all of them
/// orthogonal, so that gradients go the same way. `kept` are the halves that a join gave back and
/// that its split, further back, puts in again.
pub(super) fn undo(layer: &layers::Layer, y: FeatureMap, kept: &mut Vec<Tensor<5>>) -> FeatureMap {
    use layers::Layer as L;
    match layer {
        L::SpaceToDepth => FeatureMap::Whole(depth_to_space(y.whole())),
        L::DepthToSpace => FeatureMap::Whole(space_to_depth(y.whole())),
        L::ConcatSkip => {
            let (x1, x2) = y.halves();
            kept.push(x1);
            FeatureMap::Whole(x2)
        }
        L::PushSkip => FeatureMap::Halves(kept.pop().expect("joined further on"), y.whole()),
        L::BottleneckHook => y,
        other => unreachable!("{other:?} is not rewound"),
    }
}
