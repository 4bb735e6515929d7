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

use super::group_norm::{GroupNormKernels, PreparedGroupNorm, normalized};
use super::profiler::{self, OpKind};
use super::{ConvInput, DeferredGroupNorm, KernelInput};
use crate::nets::like;

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

/// An op that is linear in its input x and in its weight: a convolution with its two gradients.
///
/// # Shapes
/// - forward: (x, weight) → output
/// - input_grad: (gradient of the output, weight) → gradient of x
/// - weight_grad: (x, gradient of the output) → gradient of the weight
#[derive(Clone, Copy)]
pub(crate) struct Bilinear<const W: usize> {
    pub kind: OpKind,
    /// Whether `forward` applies a deferred norm while it loads x. If not, x is normalized first.
    /// `weight_grad` always applies it.
    pub applies_norm: bool,
    pub forward: fn(&KernelInput, &Tensor<W>) -> Tensor<5>,
    pub input_grad: fn(Tensor<5>, &Tensor<W>) -> Tensor<5>,
    pub weight_grad: fn(&KernelInput, &Tensor<5>) -> Tensor<W>,
}

impl<const W: usize> Bilinear<W> {
    /// Runs the op, and records it if the tensors are tracked.
    ///
    /// The backward pass keeps x and the weight. If x is a deferred norm, it keeps the input of the
    /// norm and recomputes the normalized values.
    pub fn apply<B: GroupNormKernels>(self, x: ConvInput, weight: Tensor<W>) -> Tensor<5>
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        match x {
            ConvInput::Whole(x) => self.apply_to_tensor::<B>(x, weight),
            ConvInput::DeferredGroupNorm(x) if x.x.device().is_autodiff() => {
                self.apply_after_norm::<B>(x, weight)
            }
            ConvInput::DeferredGroupNorm(x) => {
                let x = self.source::<B>(PreparedGroupNorm::<B>::prepare(x).into_kernel_input());
                self.forward(&x, &weight)
            }
        }
    }

    fn apply_to_tensor<B: Backend>(self, x: Tensor<5>, weight: Tensor<W>) -> Tensor<5>
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        if !x.device().is_autodiff() {
            return self.forward(&x.into(), &weight);
        }
        let _scope = profiler::forward_scope(self.kind, &x);
        let (x, weight) = (Parent::<B, 5>::new(x), Parent::<B, W>::new(weight));
        let (x_value, weight_value) = (KernelInput::from(x.value), weight.value);
        let output = (self.forward)(&x_value, &weight_value);
        record::<B, 2, 5>([x.guard, weight.guard], output, move |gradient, wanted, _| {
            let gradient = Tensor::from_primitive::<B>(gradient);
            let weights =
                wanted[1].then(|| primitive::<B, W>((self.weight_grad)(&x_value, &gradient)));
            // Free x before the gradient of x is allocated.
            drop(x_value);
            [
                wanted[0].then(|| primitive::<B, 5>((self.input_grad)(gradient, &weight_value))),
                weights,
            ]
        })
    }

    /// Records the convolution and the deferred norm of its input as one node. The profiler still
    /// attributes each kernel to its own kind.
    fn apply_after_norm<B: GroupNormKernels>(
        self,
        x: DeferredGroupNorm,
        weight: Tensor<W>,
    ) -> Tensor<5>
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        let weight = Parent::<B, W>::new(weight);
        let weight_value = weight.value;
        let ([x, gamma, beta], norm) = PreparedGroupNorm::<B>::new(x);
        let output = self.forward(&self.source::<B>(norm.source()), &weight_value);
        let parents = [x, gamma, beta, weight.guard];
        record::<B, 4, 5>(parents, output, move |gradient, wanted, _| {
            let gradient = Tensor::from_primitive::<B>(gradient);
            let weights = wanted[3].then(|| {
                let _scope = profiler::backward_scope(self.kind, &gradient);
                primitive::<B, W>((self.weight_grad)(&norm.source(), &gradient))
            });
            let output_grad = {
                let _scope = profiler::backward_scope(self.kind, &gradient);
                (self.input_grad)(gradient, &weight_value)
            };
            let [input_grad, gamma_grad, beta_grad] = norm.gradients(output_grad);
            [input_grad, gamma_grad, beta_grad, weights]
        })
    }

    fn forward(&self, x: &KernelInput, weight: &Tensor<W>) -> Tensor<5> {
        let _scope = profiler::forward_scope(self.kind, &x.x);
        (self.forward)(x, weight)
    }

    /// Applies the norm first if `forward` cannot apply it while loading.
    fn source<B: GroupNormKernels>(&self, x: KernelInput) -> KernelInput
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        if self.applies_norm { x } else { normalized::<B>(x).into() }
    }
}

/// Ends a local graph.
///
/// Returns a scalar whose backward pass seeds `output` with the gradient `seed`, without computing
/// the product of the two; and the output without autodiff. A deferred norm at the output is
/// returned unapplied; only its gradient is recorded.
///
/// # Shapes
/// - output, seed: `[b, c, k, j, i]`
pub(crate) fn seeded_loss<B: GroupNormKernels>(
    output: ConvInput,
    seed: Tensor<5>,
) -> (Tensor<1>, KernelInput)
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let zero = || Tensor::<1>::zeros([1], &seed.device());
    match output {
        ConvInput::Whole(output) => {
            let Parent { value, guard, .. } = Parent::<B, 5>::new(output);
            let (loss, seed) = (zero(), like(seed, &value));
            let loss =
                record::<B, 1, 1>([guard], loss, move |_, _, _| [Some(primitive::<B, 5>(seed))]);
            (loss, value.into())
        }
        ConvInput::DeferredGroupNorm(norm) => {
            let (parents, norm) = PreparedGroupNorm::<B>::new(norm);
            let (loss, output) = (zero(), norm.source());
            let loss = record::<B, 3, 1>(parents, loss, move |_, _, _| norm.gradients(seed));
            (loss, output)
        }
    }
}
