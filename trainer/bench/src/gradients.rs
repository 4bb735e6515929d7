//! Gradients of whole networks as plain numbers, and the distance of two.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use model_core::UNetConfig;
use model_core::nets::{UNet3d, backward};
use model_core::network::layers::parameters;

use trainer_train::adam::numbers;

/// The logits of a network, and the gradients of its parameters in their order.
pub struct LogitsAndGradients {
    pub logits: Vec<f32>,
    pub gradients: Vec<f32>,
}

/// Runs a forward and a backward pass. `seed` maps the logits to their gradient.
///
/// # Shapes
/// - x: `[b, in, k, j, i]`
/// - logits and their gradient: `[b, out, k, j, i]`
pub fn forward_backward(
    network: &UNet3d,
    x: Tensor<5>,
    seed: impl FnOnce(&[f32]) -> Tensor<5>,
) -> LogitsAndGradients {
    let output = network.forward(x);
    let logits = numbers(output.clone().inner());
    let gradients = backward(vec![(output, seed(&logits))]);
    let gradients = GradientsParams::from_grads(gradients, network);
    let mut collector = Collector { gradients, values: Vec::new() };
    network.visit(&mut collector);
    LogitsAndGradients { logits, gradients: collector.values }
}

struct Collector {
    gradients: GradientsParams,
    values: Vec<f32>,
}

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.values.extend(numbers(gradient));
        }
    }
}

/// Returns the length of the difference over the length of the expected numbers. A length below 1e-6
/// counts as 1e-6.
pub fn relative_error(actual: &[f32], expected: &[f32]) -> f64 {
    if actual.len() != expected.len() {
        return f64::INFINITY;
    }
    let pairs = actual.iter().zip(expected);
    let difference: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let length: f64 = expected.iter().map(|b| f64::from(*b).powi(2)).sum();
    (difference / length.max(1e-12)).sqrt()
}

/// Returns the parameter with the largest relative error of its gradient, and the error.
pub fn worst_gradient(config: &UNetConfig, actual: &[f32], expected: &[f32]) -> (f64, String) {
    if actual.len() != expected.len() {
        return (f64::INFINITY, format!("{} of {} gradients", actual.len(), expected.len()));
    }
    let mut start = 0;
    let errors = parameters(config).into_iter().map(|parameter| {
        let range = start..start + parameter.len();
        start = range.end;
        (relative_error(&actual[range.clone()], &expected[range]), parameter.name)
    });
    let worse = |a: (f64, String), b: (f64, String)| if a.0 >= b.0 || a.0.is_nan() { a } else { b };
    errors.fold((0.0, String::new()), worse)
}
