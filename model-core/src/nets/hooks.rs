//! Where training reads feature maps within a network.

use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;

use super::BottleneckHook;

/// What a forward pass leaves for the parts of a network that only training has.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    /// The bottleneck, for the variational branch.
    pub bottleneck: BottleneckHook,
    decoder: Arc<Mutex<Vec<Tensor<5>>>>,
}

impl Hooks {
    /// Keeps the end of a decoder level.
    pub(super) fn leave_level(&self, x: Tensor<5>) {
        self.decoder.lock().expect("no one panics here").push(x);
    }

    /// Returns the ends of the decoder levels of the last forward pass, the lowest level first.
    pub(super) fn take_levels(&self) -> Vec<Tensor<5>> {
        std::mem::take(&mut *self.decoder.lock().expect("no one panics here"))
    }
}
