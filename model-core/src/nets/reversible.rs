//! Reversible blocks (Gomez et al. 2017; Pendse et al. 2020, section 2.1), and the backward pass
//! that rewinds them.

use std::collections::HashMap;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};

use super::MbConv;
use crate::config::UNetConfig;
use crate::kernels::{Parent, on_backend, record, seeded_loss};

/// `y1 = x1 + F(x2); y2 = x2 + G(y1)`, on halves of the channels.
#[derive(Module, Debug)]
pub struct ReversibleBlock {
    /// F.
    pub f: MbConv,
    /// G.
    pub g: MbConv,
}

impl ReversibleBlock {
    /// # Shapes
    /// - x1, x2, y1, y2: `[b, c/2, k, j, i]`
    pub fn forward(&self, x1: Tensor<5>, x2: Tensor<5>) -> (Tensor<5>, Tensor<5>) {
        let y1 = x1 + self.f.forward(x2.clone());
        let y2 = x2 + self.g.forward(y1.clone());
        (y1, y2)
    }

    /// `x2 = y2 − G(y1); x1 = y1 − F(x2)`.
    ///
    /// # Shapes
    /// - y1, y2, x1, x2: `[b, c/2, k, j, i]`
    pub fn inverse(&self, y1: Tensor<5>, y2: Tensor<5>) -> (Tensor<5>, Tensor<5>) {
        let x2 = y2 - self.g.forward(y1.clone());
        let x1 = y1 - self.f.forward(x2.clone());
        (x1, x2)
    }
}

/// Reversible blocks in a row. For the backward pass it keeps its output and nothing of what lies
/// between, however many blocks there are.
#[derive(Module, Debug)]
pub struct ReversibleSequence {
    /// The blocks, first to last.
    pub blocks: Vec<ReversibleBlock>,
    /// Whether the backward pass rewinds; else plain autodiff stores every activation.
    #[module(skip)]
    pub reversible: bool,
}

impl ReversibleSequence {
    /// On `channels` channels, an even number.
    pub fn new(config: &UNetConfig, channels: usize, device: &Device) -> Self {
        let half = || MbConv::new(config, channels / 2, device);
        let blocks = (0..config.blocks).map(|_| ReversibleBlock { f: half(), g: half() });
        ReversibleSequence { blocks: blocks.collect(), reversible: config.reversible }
    }

    /// # Shapes
    /// - x, output: `[b, c, k, j, i]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        if self.reversible && x.device().is_autodiff() {
            return on_backend!(x, B => self.forward_rewinding::<B>(x));
        }
        let (mut x1, mut x2) = halves(x);
        for block in &self.blocks {
            (x1, x2) = block.forward(x1, x2);
        }
        Tensor::cat(vec![x1, x2], 1)
    }

    /// The input that an output came from.
    ///
    /// # Shapes
    /// - y, output: `[b, c, k, j, i]`
    pub fn inverse(&self, y: Tensor<5>) -> Tensor<5> {
        let (mut y1, mut y2) = halves(y);
        for block in self.blocks.iter().rev() {
            (y1, y2) = block.inverse(y1, y2);
        }
        Tensor::cat(vec![y1, y2], 1)
    }

    /// One step in the graph for the whole sequence. Its parents are the input and one parameter:
    /// so the step is recorded even when the input is a constant. The other parameters' gradients
    /// are registered under their own nodes.
    fn forward_rewinding<B: Backend>(&self, x: Tensor<5>) -> Tensor<5>
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        let mut nodes = Nodes::<B>::default();
        self.visit(&mut nodes);
        let anchor = self.blocks[0].f.expand.conv.weight.val();
        let (x, anchor) = (Parent::<B, 5>::new(x), Parent::<B, 2>::new(anchor));
        let plain = self.valid();
        let y = plain.forward(x.value);
        let kept = y.clone();
        let parents = [x.guard, anchor.guard];
        record::<B, 2, 5>(parents, y, move |gradient, wanted, gradients| {
            let gradient = Tensor::<5>::from_primitive::<B>(gradient);
            let of_x = rewind::<B>(plain, kept, gradient, &nodes, gradients);
            // The anchor's gradient went the way of all parameters'.
            [wanted[0].then(|| primitive::<B>(of_x)), None]
        })
    }
}

/// Walks a sequence back: recovers every block's input from its output, and takes the gradients on
/// the way. Each half is computed once, which serves both.
///
/// # Shapes
/// - y, gradient, output: `[b, c, k, j, i]`
fn rewind<B: Backend>(
    sequence: ReversibleSequence,
    y: Tensor<5>,
    gradient: Tensor<5>,
    nodes: &Nodes<B>,
    gradients: &mut Gradients,
) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let (mut y1, mut y2) = halves(y);
    let (mut gradient1, mut gradient2) = halves(gradient);
    for block in sequence.blocks.into_iter().rev() {
        let g = differentiate::<B>(block.g, y1.clone(), gradient2.clone(), nodes, gradients);
        y2 = y2 - g.output;
        gradient1 = gradient1 + g.gradient;
        let f = differentiate::<B>(block.f, y2.clone(), gradient1.clone(), nodes, gradients);
        y1 = y1 - f.output;
        gradient2 = gradient2 + f.gradient;
    }
    Tensor::cat(vec![gradient1, gradient2], 1)
}

/// A half's output, and the gradient of its input.
struct Differentiated {
    output: Tensor<5>,
    gradient: Tensor<5>,
}

/// Runs one half in a graph of its own and registers its parameters' gradients.
fn differentiate<B: Backend>(
    half: MbConv,
    x: Tensor<5>,
    seed: Tensor<5>,
    nodes: &Nodes<B>,
    gradients: &mut Gradients,
) -> Differentiated
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let half = half.map(&mut Leaves);
    let x = x.autodiff().require_grad();
    let y = half.forward(x.clone());
    let output = y.clone().inner();
    let mut local = seeded_loss::<B>(y, seed).backward();
    half.visit(&mut Register { nodes, local: &mut local, gradients });
    let gradient = x.grad_remove(&mut local).expect("the half's output depends on its input");
    Differentiated { output, gradient }
}

fn halves(x: Tensor<5>) -> (Tensor<5>, Tensor<5>) {
    let half = x.dims()[1] / 2;
    (x.clone().narrow(1, 0, half), x.narrow(1, half, half))
}

fn primitive<B: Backend>(tensor: Tensor<5>) -> burn::backend::tensor::FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    tensor.try_into_primitive::<B>().expect("a tensor on its graph's backend, without autodiff")
}

/// The graph node of every tracked parameter.
struct Nodes<B>(HashMap<ParamId, NodeId>, std::marker::PhantomData<fn() -> B>);

impl<B> Default for Nodes<B> {
    fn default() -> Self {
        Nodes(HashMap::new(), std::marker::PhantomData)
    }
}

impl<B: Backend> ModuleVisitor for Nodes<B>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        if tensor.is_require_grad() {
            let tensor = tensor.try_into_primitive::<Autodiff<B>>();
            self.0.insert(param.id, tensor.expect("parameters on their input's device").id());
        }
    }
}

/// Makes every parameter a leaf of a new graph.
struct Leaves;

impl ModuleMapper for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, _) = param.consume();
        Param::initialized(id, tensor.autodiff().require_grad())
    }
}

/// Moves the parameters' gradients from a local graph to the outer one.
struct Register<'a, B> {
    nodes: &'a Nodes<B>,
    local: &'a mut burn::tensor::Gradients,
    gradients: &'a mut Gradients,
}

impl<B: Backend> ModuleVisitor for Register<'_, B>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad_remove(self.local);
        if let (Some(&node), Some(gradient)) = (self.nodes.0.get(&param.id), gradient) {
            let gradient = gradient.try_into_primitive::<B>();
            self.gradients.register::<B>(node, gradient.expect("a gradient on its backend"));
        }
    }
}
