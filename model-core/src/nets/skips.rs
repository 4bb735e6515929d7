//! The tensors that the encoder keeps for the decoder.

use burn::tensor::Tensor;

use crate::kernels::Place;

/// A stack of skip connections or halves. A skip connection between two rewound sequences has a
/// place, in which the backward pass recovers it: the decoder's sequence rewinds to its input, the
/// sum of the skip and the up-sampled map; the sum's rule subtracts the map; and the pooling and the
/// encoder's sequence, whose output the skip is, find it there.
#[derive(Debug, Default)]
pub struct Skips {
    stack: Vec<Skip>,
    place: Option<Place>,
}

/// A kept tensor.
#[derive(Debug)]
pub(super) struct Skip {
    pub x: Tensor<5>,
    /// The place in which x is recovered.
    pub place: Option<Place>,
}

impl Skips {
    /// Leaves the place of a tensor to the next layer, which takes that tensor.
    pub(super) fn leave_place(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// Returns the place of the tensor that the last layer returned.
    pub(super) fn take_place(&mut self) -> Option<Place> {
        self.place.take()
    }

    /// Returns whether the tensor that the last layer returned has a place.
    pub(super) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    /// Keeps what the last layer returned.
    pub(super) fn push(&mut self, x: Tensor<5>) {
        let place = self.take_place();
        self.stack.push(Skip { x, place });
    }

    /// Returns the place of the tensor that was kept last.
    pub(super) fn last_place(&self) -> Option<Place> {
        self.stack.last().and_then(|skip| skip.place.clone())
    }

    /// # Panics
    /// Panics if nothing is kept.
    pub(super) fn pop(&mut self) -> Skip {
        self.stack.pop().expect("every join has its skip")
    }
}
