//! Convolutions as recorded ops, with a deferred norm of their input.

use burn::Tensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};

use super::add::add_or_subtract;
use super::autodiff::{Parent, primitive, record};
use super::group_norm::{GroupNormKernels, PreparedGroupNorm, normalized};
use super::profiler::{self, OpKind};
use super::{ConvInput, DeferredGroupNorm, KernelInput, StreamInput};

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
    /// `input_grad` added to another tensor, if the backend has a kernel for it.
    pub add_input_grad: Option<fn(Tensor<5>, &Tensor<W>, Tensor<5>) -> Tensor<5>>,
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
            ConvInput::Stream(x) => self.apply_to_stream::<B>(x, weight),
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

    /// Adds the gradient of the stream to the one in its place.
    fn apply_to_stream<B: Backend>(self, x: StreamInput, weight: Tensor<W>) -> Tensor<5>
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        let StreamInput { x, gradient: place } = x;
        let _scope = profiler::forward_scope(self.kind, &x);
        let (x, weight) = (KernelInput::from(x.inner()), Parent::<B, W>::new(weight));
        let (weight, guard) = (weight.value, weight.guard);
        let output = (self.forward)(&x, &weight);
        record::<B, 1, 5>([guard], output, move |gradient, _, _| {
            let gradient = Tensor::from_primitive::<B>(gradient);
            let weight_grad = primitive::<B, W>((self.weight_grad)(&x, &gradient));
            drop(x);
            let sum = place.take();
            place.put(match self.add_input_grad {
                Some(add_input_grad) => add_input_grad(gradient, &weight, sum),
                None => add_or_subtract(sum, (self.input_grad)(gradient, &weight), 1.0),
            });
            [Some(weight_grad)]
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
