//! Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019), and the
//! moving average of the weights.
//!
//! Burn has an Adam too; this one names its state by parameter, so that a checkpoint holds plain
//! named arrays, and steps are resumed exactly.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

/// β₁, β₂ and ε as the paper proposes.
const BETA: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// Flat numbers by parameter, as checkpoints hold them.
pub type Moments = BTreeMap<String, Vec<f32>>;

/// The optimizer's state.
#[derive(Default)]
pub struct Adam {
    /// Steps done.
    steps: usize,
    /// First and second moment by parameter, flat.
    moments: BTreeMap<String, [Tensor<1>; 2]>,
}

/// One step's numbers.
#[derive(Debug, Clone, Copy)]
pub struct StepSettings {
    /// The learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay; applied to weights, not to norms and biases.
    pub weight_decay: f64,
    /// The gradient's longest norm; 0 for any.
    pub clip_norm: f64,
}

impl Adam {
    /// Steps a module's parameters against their gradients; gives the gradient's norm too.
    pub fn step<M: Module>(
        &mut self,
        settings: StepSettings,
        module: M,
        mut gradients: GradientsParams,
    ) -> (M, f64) {
        let mut squares = Squares { gradients: &gradients, sum: 0.0 };
        module.visit(&mut squares);
        let norm = squares.sum.sqrt();
        let too_long = settings.clip_norm > 0.0 && norm > settings.clip_norm;
        let factor = if too_long { settings.clip_norm / norm } else { 1.0 };
        self.steps += 1;
        let mut update =
            Update { path: Vec::new(), adam: self, gradients: &mut gradients, settings, factor };
        (module.map(&mut update), norm)
    }

    /// The state as plain numbers: both moments by parameter.
    pub fn state(&self) -> [Moments; 2] {
        [0, 1].map(|which| {
            let numbers = |(name, moments): (&String, &[Tensor<1>; 2])| {
                (name.clone(), numbers(moments[which].clone()))
            };
            self.moments.iter().map(numbers).collect()
        })
    }

    /// The optimizer after `steps` steps, with a state that [`Adam::state`] gave.
    ///
    /// # Errors
    /// When the two moments do not hold the same parameters.
    pub fn resumed(steps: usize, state: [Moments; 2], device: &Device) -> Result<Adam> {
        let [first, mut second] = state;
        ensure!(first.len() == second.len(), "expected both moments of each parameter");
        let mut moments = BTreeMap::new();
        for (name, first) in first {
            let second = second.remove(&name).filter(|second| second.len() == first.len());
            ensure!(second.is_some(), "expected both moments of the parameter {name}");
            let second = second.expect("checked in the line above");
            let tensor = |v: Vec<f32>| {
                let count = v.len();
                Tensor::from_data(TensorData::new(v, [count]), &device.clone().without_autodiff())
            };
            moments.insert(name, [tensor(first), tensor(second)]);
        }
        Ok(Adam { steps, moments })
    }
}

/// The numbers of a tensor.
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32 in this line")
}

/// Sums the squares of all gradients, in f64 in the module's order.
struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sum += numbers(gradient).iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        }
    }
}

struct Update<'a> {
    path: Vec<String>,
    adam: &'a mut Adam,
    gradients: &'a mut GradientsParams,
    settings: StepSettings,
    factor: f64,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let (id, tensor, mapper) = param.consume();
        let (tracked, tensor) = (tensor.is_require_grad(), tensor.inner());
        let shape = tensor.shape();
        let count = shape.num_elements();
        let gradient = gradient.reshape([count]).mul_scalar(self.factor);
        let name = self.path.join(".");
        let [first, second] = match self.adam.moments.remove(&name) {
            Some(moments) => moments,
            None => [0; 2].map(|_| Tensor::zeros([count], &gradient.device())),
        };
        let [b1, b2] = BETA;
        let first = first.mul_scalar(b1) + gradient.clone().mul_scalar(1.0 - b1);
        let second = second.mul_scalar(b2) + gradient.square().mul_scalar(1.0 - b2);
        // Both moments start from 0: the corrections undo that bias.
        let steps = self.adam.steps as i32;
        let [c1, c2] = [1.0 - f64::from(b1).powi(steps), 1.0 - f64::from(b2).powi(steps)];
        let rate = self.settings.learning_rate;
        let change = first.clone().mul_scalar(rate / c1)
            / (second.clone().div_scalar(c2).sqrt().add_scalar(EPSILON));
        let kept = if D > 1 { 1.0 - rate * self.settings.weight_decay } else { 1.0 };
        let tensor = tensor.reshape([count]).mul_scalar(kept) - change;
        self.adam.moments.insert(name, [first, second]);
        let tensor = Tensor::from_inner(tensor.reshape(shape));
        Param::from_mapped_value(id, tensor.set_require_grad(tracked), mapper)
    }
}

/// Moves the average's weights towards a module's: `average = factor · average + (1 − factor) ·
/// weights`.
pub fn average_towards<M: Module>(average: M, module: &M, factor: f64) -> M {
    let mut weights = Collect { weights: Vec::new() };
    module.visit(&mut weights);
    average.map(&mut Blend { weights: weights.weights.into_iter(), factor })
}

/// A module's weights in its order, flat.
struct Collect {
    weights: Vec<Tensor<1>>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        let count = tensor.shape().num_elements();
        self.weights.push(tensor.reshape([count]));
    }
}

struct Blend {
    weights: std::vec::IntoIter<Tensor<1>>,
    factor: f64,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let towards = self.weights.next().expect("both modules have the same parameters");
        let shape = tensor.shape();
        let tensor =
            tensor.mul_scalar(self.factor) + towards.reshape(shape).mul_scalar(1.0 - self.factor);
        Param::from_mapped_value(id, tensor, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::ParamId;

    #[derive(Module, Debug)]
    struct Point {
        x: Param<Tensor<1>>,
    }

    fn point(device: &Device) -> Point {
        let x = Tensor::from_data([3.0f32, -2.0], device).require_grad();
        Point { x: Param::initialized(ParamId::new(), x) }
    }

    fn stepped(adam: &mut Adam, point: Point) -> Point {
        let gradients = (point.x.val() - 1.0).square().sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &point);
        let settings = StepSettings { learning_rate: 0.1, weight_decay: 0.0, clip_norm: 0.0 };
        adam.step(settings, point, gradients).0
    }

    /// Adam's first step has the length of the learning rate, whatever the gradient.
    #[test]
    fn the_first_step_has_the_length_of_the_rate() {
        let point = stepped(&mut Adam::default(), point(&Device::flex().autodiff()));
        let x = numbers(point.x.val().inner());
        assert!((x[0] - 2.9).abs() < 1e-6 && (x[1] + 1.9).abs() < 1e-6, "{x:?}");
    }

    #[test]
    fn steps_lead_to_the_minimum_and_resume_exactly() {
        let device = Device::flex().autodiff();
        let (mut adam, mut straight) = (Adam::default(), point(&device));
        for step in 0..200 {
            if step == 100 {
                adam = Adam::resumed(100, adam.state(), &device).unwrap();
            }
            straight = stepped(&mut adam, straight);
        }
        let (mut adam, mut unbroken) = (Adam::default(), point(&device));
        for _ in 0..200 {
            unbroken = stepped(&mut adam, unbroken);
        }
        let (x, y) = (numbers(straight.x.val().inner()), numbers(unbroken.x.val().inner()));
        assert_eq!(x, y);
        assert!(x.iter().all(|x| (x - 1.0).abs() < 0.01), "{x:?}");
    }

    #[test]
    fn the_average_moves_towards_the_weights() {
        let device = Device::flex();
        let zero = Point { x: Param::initialized(ParamId::new(), Tensor::zeros([2], &device)) };
        let averaged = average_towards(zero, &point(&device.clone().autodiff()), 0.75);
        assert_eq!(numbers(averaged.x.val()), [0.75, -0.5]);
    }
}
