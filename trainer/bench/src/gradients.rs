//! Gradients as plain numbers, and how far they are apart.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use model_core::nets::UNet3d;

use trainer_train::adam::numbers;

/// Those of all parameters, in the parameters' order.
pub fn values(network: &UNet3d, gradients: GradientsParams) -> Vec<f32> {
    let mut collect = Collect { gradients, values: Vec::new() };
    network.visit(&mut collect);
    collect.values
}

/// The length of the difference of two lists of numbers over that of the expected ones; lengths below
/// 1e-6 count as that.
pub fn distance(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let squares = |value: f64| value * value;
    let apart: f64 = found.iter().zip(expected).map(|(a, b)| squares(f64::from(a - b))).sum();
    let length: f64 = expected.iter().map(|b| squares(f64::from(*b))).sum();
    (apart / length.max(1e-12)).sqrt()
}

struct Collect {
    gradients: GradientsParams,
    values: Vec<f32>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.values.extend(numbers(gradient));
        }
    }
}
