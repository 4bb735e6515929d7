//! Tensors that the rules of the backward pass hand on to each other.

use std::sync::{Arc, Mutex};

use burn::Tensor;

/// A place for a tensor without autodiff. The rule that leaves it there runs before the rules that
/// take it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place(Arc<Mutex<Option<Tensor<5>>>>);

impl Place {
    /// Makes a place that has a tensor.
    pub fn with(x: Tensor<5>) -> Place {
        let place = Place::default();
        place.put(x);
        place
    }

    /// Leaves a tensor.
    pub fn put(&self, x: Tensor<5>) {
        *self.0.lock().expect("no one panics here") = Some(x);
    }

    /// # Panics
    /// Panics if nothing was left, as when the backward pass did not start from the logits.
    pub fn take(&self) -> Tensor<5> {
        self.0.lock().expect("no one panics here").take().expect("left by a later op's rule")
    }
}
