//! The gradients of a module as one flat tensor, summed over the ranks.

use anyhow::Result;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::Reducer;

/// Returns the sum of a module's gradients over all ranks, and the gradient of this rank, flat.
/// `numbers` are summed with them. A parameter without a gradient on every rank stays without one.
///
/// # Errors
/// As [`Reducer::sum_numbers`].
pub(crate) fn sum_gradients<M: Module>(
    reducer: &dyn Reducer,
    module: &M,
    gradients: GradientsParams,
    numbers: &mut [f64],
    device: &Device,
) -> Result<(GradientsParams, Tensor<1>)> {
    let mut own = Flatten { gradients, device, flat: Vec::new(), counts: numbers.to_vec() };
    module.visit(&mut own);
    let Flatten { flat, mut counts, .. } = own;
    reducer.sum_numbers(&mut counts)?;
    let (sums, counts) = counts.split_at(numbers.len());
    numbers.copy_from_slice(sums);
    let own = Tensor::cat(flat, 0);
    let sum = reducer.sum(own.clone())?;
    let counts = counts.iter();
    let mut summed = Unflatten { sum, start: 0, counts, gradients: GradientsParams::new() };
    module.visit(&mut summed);
    Ok((summed.gradients, own))
}

struct Flatten<'a> {
    gradients: GradientsParams,
    device: &'a Device,
    flat: Vec<Tensor<1>>,
    /// For each parameter, 1 if it has a gradient; after other numbers.
    counts: Vec<f64>,
}

impl ModuleVisitor for Flatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.remove::<D>(param.id);
        self.counts.push(f64::from(u8::from(gradient.is_some())));
        let len = param.shape().num_elements();
        self.flat.push(match gradient {
            Some(gradient) => gradient.reshape([len]),
            None => Tensor::zeros([len], self.device),
        });
    }
}

struct Unflatten<'a> {
    sum: Tensor<1>,
    start: usize,
    /// For each parameter, the number of ranks that have a gradient.
    counts: std::slice::Iter<'a, f64>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Unflatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.shape();
        let len = shape.num_elements();
        let gradient = self.sum.clone().narrow(0, self.start, len).reshape(shape);
        self.start += len;
        if self.counts.next().is_some_and(|count| *count > 0.0) {
            self.gradients.register::<D>(param.id, gradient);
        }
    }
}
