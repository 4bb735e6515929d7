//! A branch at the bottleneck with a backward pass of its own.

use std::sync::{Arc, Mutex};

use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};
use burn::tensor::Tensor;

use super::like;
use crate::kernels::{Parent, on_backend, primitive, record};

/// Hands the bottleneck's tensor to a branch, and the branch's gradient back to the network. The
/// tensor itself need not be stored by the network.
#[derive(Debug, Clone, Default)]
pub struct BottleneckHook {
    value: Arc<Mutex<Option<Tensor<5>>>>,
    gradient: Arc<Mutex<Option<Tensor<5>>>>,
}

impl BottleneckHook {
    /// Returns the tensor of the last forward pass, without autodiff.
    ///
    /// # Panics
    /// Panics if no forward pass of a network with a branch has run.
    pub fn take(&self) -> Tensor<5> {
        let value = self.value.lock().expect("no one panics here").take();
        value.expect("a forward pass through a network with a branch")
    }

    /// Stores the gradient from the branch's own backward pass. Must be called before the network's
    /// backward pass.
    pub fn give(&self, gradient: Tensor<5>) {
        *self.gradient.lock().expect("no one panics here") = Some(gradient);
    }

    fn leave(&self, value: Tensor<5>) {
        *self.value.lock().expect("no one panics here") = Some(value);
    }

    /// Adds the branch's gradient to `gradient`.
    pub(super) fn add_to(&self, gradient: Tensor<5>) -> Tensor<5> {
        match self.gradient.lock().expect("no one panics here").take() {
            Some(given) => {
                let given = like(given, &gradient);
                gradient + given
            }
            None => gradient,
        }
    }

    /// Returns x unchanged and keeps it for the branch. In the backward pass the gradient of x
    /// receives that of the branch.
    pub(super) fn pass(&self, x: Tensor<5>) -> Tensor<5> {
        if !x.device().is_autodiff() {
            self.leave(x.clone());
            return x;
        }
        on_backend!(x, B => self.record::<B>(x))
    }

    fn record<B: Backend>(&self, x: Tensor<5>) -> Tensor<5>
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
    {
        let x = Parent::<B, 5>::new(x);
        self.leave(x.value.clone());
        let hook = self.clone();
        record::<B, 1, 5>([x.guard], x.value, move |gradient, _, _| {
            let gradient = Tensor::<5>::from_primitive::<B>(gradient);
            [Some(primitive::<B, 5>(hook.add_to(gradient)))]
        })
    }
}
