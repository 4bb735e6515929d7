//! A module's gradients as one flat tensor, summed over the ranks.

use anyhow::Result;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::Reducer;

/// The sum of a module's gradients over all ranks, with `numbers` summed on the way; and this rank's
/// own gradient, flat. A parameter that no rank has a gradient of has none afterwards.
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
    let mut flat = Flatten { gradients, device, flat: Vec::new(), found: numbers.to_vec() };
    module.visit(&mut flat);
    let Flatten { flat, mut found, .. } = flat;
    reducer.sum_numbers(&mut found)?;
    numbers.copy_from_slice(&found[..numbers.len()]);
    let own = Tensor::cat(flat, 0);
    let sum = reducer.sum(own.clone())?;
    let mut parts = Unflatten {
        sum,
        start: 0,
        found: found[numbers.len()..].iter(),
        gradients: GradientsParams::new(),
    };
    module.visit(&mut parts);
    Ok((parts.gradients, own))
}

struct Flatten<'a> {
    gradients: GradientsParams,
    device: &'a Device,
    flat: Vec<Tensor<1>>,
    /// After other numbers: for each parameter, whether it has a gradient.
    found: Vec<f64>,
}

impl ModuleVisitor for Flatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.remove::<D>(param.id);
        self.found.push(if gradient.is_some() { 1.0 } else { 0.0 });
        let shape = param.shape();
        let count = shape.num_elements();
        self.flat.push(match gradient {
            Some(gradient) => gradient.reshape([count]),
            None => Tensor::zeros([count], self.device),
        });
    }
}

struct Unflatten<'a> {
    sum: Tensor<1>,
    start: usize,
    found: std::slice::Iter<'a, f64>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Unflatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.shape();
        let count = shape.num_elements();
        let part = self.sum.clone().narrow(0, self.start, count).reshape(shape);
        self.start += count;
        if self.found.next().is_some_and(|found| *found > 0.0) {
            self.gradients.register::<D>(param.id, part);
        }
    }
}
