//! A part of the network run in a graph of its own, whose gradients go to the outer graph.

use std::collections::HashMap;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::NodeGuard;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::kernels::{ConvInput, GroupNormKernels, KernelInput, Parent, seeded_loss};

/// A module run in a graph of its own, before its backward pass.
pub(super) struct LocalGraph<M> {
    module: M,
    x: Tensor<5>,
    is_wanted: bool,
    loss: Tensor<1>,
}

impl<M: Module> LocalGraph<M> {
    /// Runs the forward pass and returns the module's output. `seed` is the gradient of the output.
    /// The gradient of the input is computed if `wants_input` says so. The graph does not hold the
    /// output, so the output's memory may be reused or freed before the backward pass.
    pub fn forward<B: GroupNormKernels>(
        module: M,
        forward: impl Fn(&M, Tensor<5>) -> ConvInput,
        x: Tensor<5>,
        is_wanted: bool,
        seed: Tensor<5>,
    ) -> (LocalGraph<M>, KernelInput)
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        let module = module.map(&mut Leaves);
        let x = x.autodiff().set_require_grad(is_wanted);
        let (loss, output) = seeded_loss::<B>(forward(&module, x.clone()), seed);
        (LocalGraph { module, x, is_wanted, loss }, output)
    }

    /// Runs the backward pass: registers the gradients of the parameters and returns that of the
    /// input, if wanted.
    pub fn backward<B: Backend>(
        self,
        nodes: &ParamNodes<B>,
        gradients: &mut Gradients,
    ) -> Option<Tensor<5>>
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        let mut local = self.loss.backward();
        self.module.visit(&mut Register { nodes, local: &mut local, gradients });
        self.is_wanted
            .then(|| self.x.grad_remove(&mut local).expect("the output depends on the input"))
    }
}

/// The graph node of every tracked parameter; the first parameter is kept as the anchor.
pub(super) struct ParamNodes<B> {
    of: HashMap<ParamId, NodeId>,
    pub anchor: Option<NodeGuard>,
    backend: std::marker::PhantomData<fn() -> B>,
}

impl<B> Default for ParamNodes<B> {
    fn default() -> Self {
        ParamNodes { of: HashMap::new(), anchor: None, backend: std::marker::PhantomData }
    }
}

impl<B: Backend> ModuleVisitor for ParamNodes<B>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        if self.anchor.is_none() {
            self.anchor = Some(Parent::<B, D>::new(tensor.clone()).guard);
        }
        if tensor.is_require_grad() {
            let tensor = tensor.try_into_primitive::<Autodiff<B>>();
            self.of.insert(param.id, tensor.expect("parameters on their input's device").id());
        }
    }
}

/// Turns every parameter into a leaf of a new graph.
struct Leaves;

impl ModuleMapper for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, _) = param.consume();
        Param::initialized(id, tensor.autodiff().require_grad())
    }
}

/// Moves the gradients of the parameters from a local graph to the outer one.
struct Register<'a, B> {
    nodes: &'a ParamNodes<B>,
    local: &'a mut burn::tensor::Gradients,
    gradients: &'a mut Gradients,
}

impl<B: Backend> ModuleVisitor for Register<'_, B>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad_remove(self.local);
        if let (Some(&node), Some(gradient)) = (self.nodes.of.get(&param.id), gradient) {
            let gradient = gradient.try_into_primitive::<B>();
            self.gradients.register::<B>(node, gradient.expect("a gradient on its backend"));
        }
    }
}
