//! Moves, adds and scales the gradients of a module.

use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Moves a module's gradients from one list to another.
pub(super) struct Move<'a> {
    pub from: &'a mut GradientsParams,
    pub to: &'a mut GradientsParams,
}

impl ModuleVisitor for Move<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.remove::<D>(param.id) {
            self.to.register(param.id, gradient);
        }
    }
}

/// Adds a module's gradients to those of another list.
pub(super) struct Add<'a> {
    pub from: &'a mut GradientsParams,
    pub to: &'a mut GradientsParams,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.remove::<D>(param.id) {
            let sum = match self.to.remove::<D>(param.id) {
                Some(sum) => sum + gradient,
                None => gradient,
            };
            self.to.register(param.id, sum);
        }
    }
}

/// Multiplies a module's gradients by a factor.
pub(super) struct Scale<'a> {
    pub gradients: &'a mut GradientsParams,
    pub factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.factor));
        }
    }
}
