//! What is faster on a GPU, found out on it: with blocks fused the expanded channels are never in
//! memory, but are computed more than once at the borders of tiles. Which of both costs more only the
//! hardware tells.

use std::ops::ControlFlow;

use model_core::config::parameters;
use model_core::{Array, Program, UNetConfig, Weights};
use web_time::{Duration, Instant};

use super::Engine;
use crate::kernels::Storage;
use crate::{Error, Manner, Output, Plan, Preference};

/// Blocks of more channels lie at lower levels, where maps are small, and would be read more often
/// than what they expand to.
const MOST_FUSED: usize = 32;

/// Voxels along an axis: the larger map where the smaller is done too fast to be timed.
const SIZES: [usize; 2] = [16, 48];

/// Time enough to tell one from the other.
const ENOUGH: Duration = Duration::from_millis(20);

/// Runs that count, the fastest of them.
const REPEATS: usize = 3;

/// The most by which the two may differ, of the largest value.
const MOST_DIFFERENCE: f32 = 1e-3;

/// A small network run both ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// How long it took as one operation after the other.
    pub apart: Duration,
    /// How long with blocks fused.
    pub fused: Duration,
    /// Whether the results were the same, but for rounding.
    pub agree: bool,
}

impl Trial {
    /// What is faster; and right: a driver that fails at the larger kernel does without it.
    pub fn preference(&self) -> Preference {
        let is_fused = self.agree && self.fused < self.apart;
        Preference { storage: None, most_fused: if is_fused { MOST_FUSED } else { 0 } }
    }
}

impl Engine {
    /// What is faster on this GPU, by a [`Engine::trial`]; of a software one it is known.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn preference(&self) -> Result<Preference, Error> {
        match self.is_software {
            true => Ok(Preference::default()),
            false => Ok(self.trial().await?.preference()),
        }
    }

    /// Runs a small network both ways, and a larger one where that was done too fast to be timed.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn trial(&self) -> Result<Trial, Error> {
        let [small, large] = SIZES;
        let trial = self.trial_of(small).await?;
        let is_told = !trial.agree || trial.apart.max(trial.fused) >= ENOUGH;
        if is_told { Ok(trial) } else { self.trial_of(large).await }
    }

    async fn trial_of(&self, size: usize) -> Result<Trial, Error> {
        let network = Network::new(size)?;
        let (apart, expected) = network.run(self, 0).await?;
        let (fused, found) = network.run(self, MOST_FUSED).await?;
        Ok(Trial { apart, fused, agree: agree(&found, &expected) })
    }
}

/// A network of one level with two reversible blocks, as wide as the larger networks at full
/// resolution.
struct Network {
    program: Program,
    weights: Weights,
    input: Vec<f32>,
}

impl Network {
    fn new(size: usize) -> Result<Network, Error> {
        let config = UNetConfig::preset("demo", 1, 1)
            .map(|demo| UNetConfig { widths: vec![32], ..demo })
            .and_then(|config| Ok((Program::new(&config, [size; 3])?, config)));
        let (program, config) =
            config.map_err(|error| Error::program("the network of a trial", error))?;
        let array = |parameter: model_core::config::Parameter| {
            let values = numbers(parameter.shape.iter().product());
            (parameter.name, Array { shape: parameter.shape, values })
        };
        let weights = parameters(&config).into_iter().map(array).collect();
        Ok(Network { program, weights, input: numbers(size.pow(3)) })
    }

    /// The least time of some runs, and the result.
    async fn run(&self, engine: &Engine, most_fused: usize) -> Result<(Duration, Output), Error> {
        let (storage, parts, slab_bytes) = (Storage::F32, 1, crate::MAX_BINDING_BYTES);
        let manner = Manner { storage, parts, most_fused, slab_bytes };
        let plan = Plan::new(&self.program, manner)?;
        let resources = engine.loaded(&plan, &self.weights, &self.input).await?;
        let mut least = Duration::MAX;
        // Once more than counts: kernels are loaded when they first run.
        for n in 0..=REPEATS {
            // What is done in place has overwritten it.
            for part in &plan.input {
                resources.put(&engine.queue, &plan, part, &self.input);
            }
            engine.queue.submit([]);
            engine.idle().await?;
            let started = Instant::now();
            engine.execute(&plan, &resources, &mut |_| ControlFlow::Continue(())).await?;
            if n > 0 {
                least = least.min(started.elapsed());
            }
        }
        Ok((least, engine.read(&plan, &resources).await?))
    }
}

/// Numbers between −1 and 1 without a pattern.
fn numbers(count: usize) -> Vec<f32> {
    let hash =
        |n: usize| (n as u32).wrapping_mul(0x9e37_79b9).rotate_left(13).wrapping_mul(0x85eb_ca6b);
    (0..count).map(|n| hash(n) as f32 / (u32::MAX / 2) as f32 - 1.0).collect()
}

fn agree(a: &Output, b: &Output) -> bool {
    let (Output::Logits(a), Output::Logits(b)) = (a, b) else { return a == b };
    let largest = b.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    // No number is near to one that is none.
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= MOST_DIFFERENCE * largest)
}
