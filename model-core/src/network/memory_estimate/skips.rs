//! Skip connections that the backward pass recovers, as [`crate::nets::Skips`] does.

use std::cell::RefCell;
use std::rc::Rc;

use super::simulated_graph::{SimulatedDevice, SimulatedGraph, Var};
use super::simulated_heap::Shadow;
use crate::kernels::{num_elements, upsample};

/// A place for a tensor that the backward pass recovers.
pub type Place = Rc<RefCell<Option<Shadow>>>;

/// The tensors kept for the decoder, with the places of those that are recovered.
#[derive(Default)]
pub struct Skips {
    /// Each with its place.
    pub stack: Vec<(Var, Option<Place>)>,
    /// The place of what the last layer returned.
    pub place: Option<Place>,
}

impl Skips {
    /// Keeps what the last layer returned.
    pub fn push(&mut self, x: Var) {
        self.stack.push((x, self.place.take()));
    }

    /// Returns what was kept last.
    pub fn pop(&mut self) -> (Var, Option<Place>) {
        self.stack.pop().expect("every join has its skip")
    }
}

/// Takes a recovered tensor from its place.
pub fn take(place: &Place) -> Shadow {
    place.borrow_mut().take().expect("recovered from the logits")
}

impl SimulatedDevice {
    /// Up-samples x and adds a skip connection that the backward pass recovers.
    pub fn upsample_and_add(
        &self,
        graph: &mut SimulatedGraph,
        x: Var,
        skip: Var,
        place: Place,
    ) -> Var {
        let memory = upsample::memory(&self.op_shape(&x.shadow, x.shadow.channels));
        let work = 8 * 8 * num_elements(self.batch, x.shadow.channels, x.shadow.dims);
        let sum = self.in_place(skip.shadow);
        self.heap.touch(memory.forward_bytes);
        self.work(work);
        if graph.is_none {
            return Var { shadow: sum, node: None };
        }
        let (kept, parents) = (x.shadow, [x.node, skip.node]);
        let node = graph.record(self, move |device, gradient, gradients| {
            let negative = device.in_place(kept.clone());
            let recovered = device.in_place(take(&place));
            device.heap.touch(memory.forward_bytes);
            device.work(work);
            drop(negative);
            place.replace(Some(recovered));
            let [of_x, of_skip] = parents;
            if let Some(parent) = of_x {
                device.work(work);
                let of_x = device.tensor(kept.channels, kept.dims, kept.float_bytes);
                device.heap.touch(memory.backward_bytes);
                device.register(gradients, parent, of_x);
            }
            if let Some(parent) = of_skip {
                device.register(gradients, parent, gradient);
            }
        });
        Var { shadow: sum, node: Some(node) }
    }
}
