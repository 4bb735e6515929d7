//! Adam (Kingma and Ba 2015) with either kind of weight decay, and the moving average of the
//! weights.
//!
//! Burn has an Adam too; this one names its state by parameter, so that a checkpoint holds plain
//! named arrays, and steps are resumed exactly.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use model_core::kernels::profiler::{OpKind, forward_scope};
use model_core::network::layers::Parameter;

use trainer_run::config::Optimizer;

/// β₁, β₂ and ε as the paper proposes.
const BETA: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// Flat values by parameter, as in checkpoints.
pub type Moments = BTreeMap<String, Vec<f32>>;

/// The optimizer Adam, with its state.
pub struct Adam {
    /// Steps done.
    steps: usize,
    /// The module's parameters, in its order.
    parameters: Vec<Parameter>,
    /// First and second moment by parameter, flat.
    moments: BTreeMap<String, [Tensor<1>; 2]>,
}

/// The settings of a step.
#[derive(Debug, Clone, Copy)]
pub struct StepSettings {
    /// The kind of weight decay.
    pub optimizer: Optimizer,
    /// The learning rate.
    pub learning_rate: f64,
    /// Weight decay. If decoupled, it applies to weights only: not to norms and biases, and not to the
    /// vectors of reflections, whose lengths have no effect.
    pub weight_decay: f64,
    /// The largest norm of the gradient; 0 for no limit.
    pub clip_norm: f64,
}

impl Adam {
    /// Returns the optimizer before the first step; `parameters` are those of the module, in its order.
    pub fn new(parameters: Vec<Parameter>) -> Adam {
        Adam { steps: 0, parameters, moments: BTreeMap::new() }
    }

    /// Steps a module's parameters against their gradients of the given [`norm`].
    pub fn step<M: Module>(
        &mut self,
        settings: StepSettings,
        module: M,
        mut gradients: GradientsParams,
        norm: f64,
    ) -> M {
        let too_long = settings.clip_norm > 0.0 && norm > settings.clip_norm;
        let factor = if too_long { settings.clip_norm / norm } else { 1.0 };
        self.steps += 1;
        let Adam { steps, parameters, moments } = self;
        let mut update = Update {
            parameters: parameters.iter(),
            moments,
            steps: *steps as i32,
            gradients: &mut gradients,
            settings,
            factor,
        };
        module.map(&mut update)
    }

    /// Returns both moments by parameter.
    pub fn state(&self) -> [Moments; 2] {
        [0, 1].map(|which| {
            let numbers = |(name, moments): (&String, &[Tensor<1>; 2])| {
                (name.clone(), numbers(moments[which].clone()))
            };
            self.moments.iter().map(numbers).collect()
        })
    }

    /// Returns the optimizer after `steps` steps, with the moments of [`Adam::state`].
    ///
    /// # Errors
    /// Errors if the two moments have different parameters, or parameters that the module lacks.
    pub fn resumed(
        parameters: Vec<Parameter>,
        steps: usize,
        state: [Moments; 2],
        device: &Device,
    ) -> Result<Adam> {
        let [first, mut second] = state;
        ensure!(first.len() == second.len(), "expected both moments of each parameter");
        let mut moments = BTreeMap::new();
        for (name, first) in first {
            let second = second.remove(&name).filter(|second| second.len() == first.len());
            ensure!(second.is_some(), "expected both moments of the parameter {name}");
            let second = second.expect("checked in the line above");
            let is_known = |known: &Parameter| known.name == name && known.len() == first.len();
            ensure!(
                parameters.iter().any(is_known),
                "expected moments of the network's parameters, found {} of {name}",
                first.len()
            );
            let tensor = |v: Vec<f32>| {
                let count = v.len();
                Tensor::from_data(TensorData::new(v, [count]), &device.clone().without_autodiff())
            };
            moments.insert(name, [tensor(first), tensor(second)]);
        }
        Ok(Adam { steps, parameters, moments })
    }
}

/// Copies the values of a tensor to the host.
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32 in this line")
}

/// Returns the norm of all gradients of a module.
pub fn norm<M: Module>(module: &M, gradients: &GradientsParams) -> f64 {
    let mut squares = Squares { gradients, sum: 0.0 };
    module.visit(&mut squares);
    squares.sum.sqrt()
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

/// Updates the parameters in the module's order, which identifies them: burn gives no names here.
struct Update<'a> {
    parameters: std::slice::Iter<'a, Parameter>,
    moments: &'a mut BTreeMap<String, [Tensor<1>; 2]>,
    steps: i32,
    gradients: &'a mut GradientsParams,
    settings: StepSettings,
    factor: f64,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = &self.parameters.next().expect("the optimizer knows every parameter").name;
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let _scope = forward_scope(OpKind::Optimizer, &gradient);
        let (id, tensor, mapper) = param.consume();
        let (tracked, tensor) = (tensor.is_require_grad(), tensor.inner());
        let shape = tensor.shape();
        let count = shape.num_elements();
        let mut gradient = gradient.reshape([count]).mul_scalar(self.factor);
        let StepSettings { optimizer, learning_rate: rate, weight_decay, .. } = self.settings;
        if optimizer == Optimizer::Adam && weight_decay > 0.0 {
            gradient = gradient + tensor.clone().reshape([count]).mul_scalar(weight_decay);
        }
        let [first, second] = match self.moments.remove(name) {
            Some(moments) => moments,
            None => [0; 2].map(|_| Tensor::zeros([count], &gradient.device())),
        };
        let [b1, b2] = BETA;
        let first = first.mul_scalar(b1) + gradient.clone().mul_scalar(1.0 - b1);
        let second = second.mul_scalar(b2) + gradient.square().mul_scalar(1.0 - b2);
        // The corrections undo the bias of moments that start from 0.
        let [c1, c2] = BETA.map(|beta| 1.0 - f64::from(beta).powi(self.steps));
        let change = first.clone().mul_scalar(rate / c1)
            / (second.clone().div_scalar(c2).sqrt().add_scalar(EPSILON));
        let decays = optimizer == Optimizer::Adamw && name.ends_with(".weight");
        let kept = if decays { 1.0 - rate * weight_decay } else { 1.0 };
        let tensor = tensor.reshape([count]).mul_scalar(kept) - change;
        self.moments.insert(name.clone(), [first, second]);
        let tensor = Tensor::from_inner(tensor.reshape(shape));
        Param::from_mapped_value(id, tensor.set_require_grad(tracked), mapper)
    }
}

/// Updates the average of a module's weights: `average = factor · average + (1 − factor) · weights`.
/// The module may have more parameters, after those of the average.
pub fn average_towards<M: Module>(average: M, module: &M, factor: f64) -> M {
    let mut weights = Collect { weights: Vec::new() };
    module.visit(&mut weights);
    average.map(&mut Blend { weights: weights.weights.into_iter(), factor })
}

/// Collects a module's weights in its order, flat.
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
        let towards = self.weights.next().expect("the module has the average's parameters");
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

    fn parameters() -> Vec<Parameter> {
        vec![Parameter { name: "x".into(), shape: vec![2] }]
    }

    fn stepped(adam: &mut Adam, point: Point) -> Point {
        let gradients = (point.x.val() - 1.0).square().sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &point);
        let norm = norm(&point, &gradients);
        adam.step(settings(Optimizer::Adamw, 0.0), point, gradients, norm)
    }

    fn settings(optimizer: Optimizer, weight_decay: f64) -> StepSettings {
        StepSettings { optimizer, learning_rate: 0.1, weight_decay, clip_norm: 0.0 }
    }

    /// With no gradient but the decay's: decoupled it shrinks a weight by rate × decay; as L2 it is
    /// a gradient like any other, which Adam's first step scales to the rate.
    #[test]
    fn weight_decay_is_decoupled_or_l2() {
        let stepped = |optimizer, name: &str| {
            let parameters = vec![Parameter { name: name.into(), shape: vec![2] }];
            let point = point(&Device::flex().autodiff());
            let gradients = (point.x.val() * 0.0).sum().backward();
            let gradients = GradientsParams::from_grads(gradients, &point);
            let mut adam = Adam::new(parameters);
            let stepped = adam.step(settings(optimizer, 0.5), point, gradients, 0.0);
            numbers(stepped.x.val().inner())
        };
        assert_eq!(stepped(Optimizer::Adamw, "x.weight"), [3.0 * 0.95, -2.0 * 0.95]);
        assert_eq!(stepped(Optimizer::Adamw, "x.bias"), [3.0, -2.0]);
        let l2 = stepped(Optimizer::Adam, "x.bias");
        assert!((l2[0] - 2.9).abs() < 1e-6 && (l2[1] + 1.9).abs() < 1e-6, "{l2:?}");
    }

    /// Adam's first step has the length of the learning rate, whatever the gradient.
    #[test]
    fn the_first_step_has_the_length_of_the_rate() {
        let point = stepped(&mut Adam::new(parameters()), point(&Device::flex().autodiff()));
        let x = numbers(point.x.val().inner());
        assert!((x[0] - 2.9).abs() < 1e-6 && (x[1] + 1.9).abs() < 1e-6, "{x:?}");
    }

    #[test]
    fn steps_lead_to_the_minimum_and_resume_exactly() {
        let device = Device::flex().autodiff();
        let (mut adam, mut straight) = (Adam::new(parameters()), point(&device));
        for step in 0..200 {
            if step == 100 {
                adam = Adam::resumed(parameters(), 100, adam.state(), &device).unwrap();
            }
            straight = stepped(&mut adam, straight);
        }
        let (mut adam, mut unbroken) = (Adam::new(parameters()), point(&device));
        for _ in 0..200 {
            unbroken = stepped(&mut adam, unbroken);
        }
        let (x, y) = (numbers(straight.x.val().inner()), numbers(unbroken.x.val().inner()));
        assert_eq!(x, y);
        assert!(x.iter().all(|x| (x - 1.0).abs() < 0.01), "{x:?}");
    }

    #[test]
    fn moments_of_another_network_are_refused() {
        let resumed = |name: &str, count: usize| {
            let moments = Moments::from([(name.to_string(), vec![0.0; count])]);
            Adam::resumed(parameters(), 1, [moments.clone(), moments], &Device::flex())
        };
        assert!(resumed("x", 2).is_ok());
        assert!(resumed("y", 2).is_err() && resumed("x", 3).is_err());
    }

    #[test]
    fn the_average_moves_towards_the_weights() {
        let device = Device::flex();
        let zero = Point { x: Param::initialized(ParamId::new(), Tensor::zeros([2], &device)) };
        let averaged = average_towards(zero, &point(&device.clone().autodiff()), 0.75);
        assert_eq!(numbers(averaged.x.val()), [0.75, -0.5]);
    }
}
