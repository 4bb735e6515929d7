//! Records hand-written gradients in burn's autodiff graph.

use std::fmt;
use std::sync::{Arc, Mutex};

use burn::Tensor;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};

use super::profiler;

/// Runs a block with `$B` bound to the backend that holds `$tensor`.
///
/// Every backend that a cargo feature enables has an arm in this macro, and nowhere else.
macro_rules! on_backend {
    ($tensor:expr, $B:ident => $body:expr) => {{
        use burn::backend::{DispatchDevice, Flex};
        let device = $tensor.device().inner();
        match device.as_dispatch() {
            DispatchDevice::Flex(_) => {
                type $B = Flex;
                $body
            }
            #[cfg(feature = "gpu")]
            DispatchDevice::Cube(_) => {
                type $B = burn::backend::Cube;
                $body
            }
            #[allow(unreachable_patterns)]
            other => panic!("no kernels for {other:?}; use a flex, wgpu or cuda device"),
        }
    }};
}
pub(crate) use on_backend;

/// Gradients of an op's parents, in their order; `None` for a parent that needs no gradient.
pub(crate) type ParentGradients<B, const N: usize> = [Option<FloatTensor<B>>; N];

type BackwardRule<B, const N: usize> =
    Box<dyn FnOnce(FloatTensor<B>, [bool; N], &mut Gradients) -> ParentGradients<B, N> + Send>;

/// A backward function that runs once. burn requires a cloneable state, so the function is shared.
struct BackwardFn<B: Backend, const N: usize>(Arc<Mutex<Option<BackwardRule<B, N>>>>);

impl<B: Backend, const N: usize> Clone for BackwardFn<B, N> {
    fn clone(&self) -> Self {
        BackwardFn(self.0.clone())
    }
}

impl<B: Backend, const N: usize> fmt::Debug for BackwardFn<B, N> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Once")
    }
}

#[derive(Debug)]
struct Step;

impl<B: Backend, const N: usize> Backward<B, N> for Step {
    type State = BackwardFn<B, N>;

    fn backward(self, ops: Ops<BackwardFn<B, N>, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let output_gradient = grads.consume::<B>(&ops.node);
        let rule = ops.state.0.lock().expect("a rule does not panic half-way").take();
        let rule = rule.expect("a graph is walked back once");
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = rule(output_gradient, wanted, grads);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

/// An input of a recorded op: its value without autodiff, and its node in the graph.
pub(crate) struct Parent<B: Backend, const D: usize> {
    pub value: Tensor<D>,
    pub guard: NodeGuard,
    backend: std::marker::PhantomData<B>,
}

impl<B: Backend, const D: usize> Parent<B, D>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    /// Splits a tracked tensor into value and node.
    ///
    /// # Panics
    /// Panics if the tensor is on an autodiff device with burn's balanced checkpointing: these ops
    /// decide themselves what they keep.
    pub fn new(tensor: Tensor<D>) -> Self {
        let (primitive, guard) = tensor
            .try_into_primitive::<Autodiff<B>>()
            .expect("an autodiff tensor without gradient checkpointing")
            .into_parts();
        let value = Tensor::from_primitive::<B>(primitive);
        Parent { value, guard, backend: std::marker::PhantomData }
    }
}

/// Inserts `output`, computed without autodiff, into the graph as a function of `parents`.
///
/// `rule` receives the gradient of the output and, for each parent, whether it needs a gradient. It
/// may also register gradients of other nodes. The rule is dropped if no parent is tracked.
pub(crate) fn record<B: Backend, const N: usize, const D: usize>(
    parents: [NodeGuard; N],
    output: Tensor<D>,
    rule: impl FnOnce(FloatTensor<B>, [bool; N], &mut Gradients) -> ParentGradients<B, N>
    + Send
    + 'static,
) -> Tensor<D>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let profiled = profiler::backward_of_current(&output);
    let rule = move |gradient, wanted, gradients: &mut Gradients| {
        let _scope = profiled.map(|op| profiler::scope(|| op));
        rule(gradient, wanted, gradients)
    };
    let output = output.try_into_primitive::<B>().expect("an output on its parents' backend");
    let output = match Step.prepare::<NoCheckpointing>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            prepared.finish(BackwardFn(Arc::new(Mutex::new(Some(Box::new(rule))))), output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Autodiff<B>>(output)
}

/// Converts a tensor without autodiff to its backend's primitive.
pub(crate) fn primitive<B: Backend, const D: usize>(tensor: Tensor<D>) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    tensor.try_into_primitive::<B>().expect("a tensor on its graph's backend, without autodiff")
}
