//! First step of a run: a program, checked and laid out as dispatches. A value; needs no GPU.

use model_core::{Program, Weights};

use crate::Error;
use crate::footprint::{buffer_sizes, norm_sizes};
use crate::kernels::Kernel;

mod check;
mod lay_out;
mod pack;

pub(crate) use check::views;

/// The most bytes of one storage binding under WebGPU's default limits.
pub const MAX_BINDING_BYTES: u64 = 128 << 20;

/// What is bound to a kernel beside its `params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A buffer of the program.
    Buffer(usize),
    /// The packed parameters of the step's operation.
    Weights,
    /// The norms' chunks.
    Partials,
    /// The norms' groups.
    Statistics,
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which of the program's operations.
    pub op: usize,
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Its entry point.
    pub entry: &'static str,
    /// Its `Params`.
    pub params: Vec<u8>,
    /// Its bindings from 1 on (0 is `params`), with their numbers.
    pub bindings: Vec<(u32, Slot)>,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
    /// Multiply-adds, and values moved: a rough measure of its time.
    pub cost: u64,
    /// Multiply-adds alone.
    pub multiply_adds: u64,
}

/// A program as the engine runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Bytes of the program's buffers.
    pub buffers: Vec<u64>,
    /// Bytes of the norms' chunks.
    pub partials_bytes: u64,
    /// Bytes of the norms' groups.
    pub statistics_bytes: u64,
    /// For each operation its parameters as the kernels read them.
    pub weights: Vec<Vec<u8>>,
    /// The dispatches in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Checks a program and its weights, and lays it out.
    ///
    /// # Errors
    /// [`Error::Program`] when views, sizes or weights do not fit each other;
    /// [`Error::TooLarge`] when a buffer exceeds [`MAX_BINDING_BYTES`].
    pub fn new(program: &Program, weights: &Weights) -> Result<Plan, Error> {
        check::check(program)?;
        let (partials_bytes, statistics_bytes) = norm_sizes(program);
        let packed = program.ops.iter().map(|op| pack::pack(op, weights)).collect::<Result<_, _>>();
        let mut plan = Plan {
            buffers: buffer_sizes(program),
            partials_bytes,
            statistics_bytes,
            weights: packed?,
            steps: Vec::new(),
        };
        for op in 0..program.ops.len() {
            plan.lay_out(program, op);
        }
        Ok(plan)
    }
}

/// Weights of the shapes that a network asks for.
#[cfg(test)]
pub(crate) fn random_weights(config: &model_core::UNetConfig) -> Weights {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let parameters = model_core::config::parameters(config).into_iter();
    parameters
        .map(|parameter| {
            let len = parameter.shape.iter().product();
            let values = (0..len).map(|_| rng.random_range(-1.0..1.0)).collect();
            (parameter.name, model_core::Array { shape: parameter.shape, values })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::UNetConfig;

    #[test]
    fn no_dispatch_exceeds_the_default_limits_and_all_work_is_counted() {
        for (preset, size) in [("demo", 128), ("mbconv-base", 64), ("mbconv-slim", 96)] {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            let program = Program::new(&config, [size; 3]).unwrap();
            let plan = Plan::new(&program, &random_weights(&config)).unwrap();
            for step in &plan.steps {
                assert!(step.workgroups.iter().all(|&n| (1..=65_535).contains(&n)), "{step:?}");
                assert_eq!(step.params.len(), step.kernel.params_bytes);
            }
            let done: u64 = plan.steps.iter().map(|step| step.multiply_adds).sum();
            let total = program.total_multiply_adds();
            assert!(total - done <= plan.steps.len() as u64, "{preset}: {done} of {total}");
        }
    }

    #[test]
    fn missing_and_misshapen_weights_are_refused_by_name() {
        let config = UNetConfig::preset("demo", 1, 2).unwrap();
        let program = Program::new(&config, [16; 3]).unwrap();
        let whole = random_weights(&config);
        let mut weights = whole.clone();
        weights.remove("head.bias");
        let error = Plan::new(&program, &weights).unwrap_err().to_string();
        assert!(error.contains("head.bias") && error.contains("none"), "{error}");
        let mut weights = whole;
        weights.get_mut("head.weight").unwrap().values.pop();
        let error = Plan::new(&program, &weights).unwrap_err().to_string();
        assert!(error.contains("head.weight") && error.contains("31 values"), "{error}");
    }
}
