//! What is faster on a GPU, found out on it: with blocks fused the expanded channels are never in
//! memory, but are computed more than once at the borders of tiles. Which of both costs more only the
//! hardware tells.

use std::ops::ControlFlow;

use model_core::network::config::parameters;
use model_core::{Array, Program, UNetConfig, Weights};
use web_time::{Duration, Instant};

use super::Engine;
use crate::kernels::Storage;
use crate::resources::Resources;
use crate::{Error, Output, Plan, PlanOptions, Preference};

/// Blocks of more channels lie at lower levels, where maps are small, and would be read more often
/// than what they expand to.
const MOST_FUSED: usize = 32;

/// Voxels of a trial along i, j, k: enough to keep a fast GPU busy for a millisecond.
const DIMS: [usize; 3] = [64, 64, 48];

/// Runs of each way that count, in turn, the fastest of them.
const REPEATS: usize = 3;

/// The most by which the two may differ, of the largest value.
const MOST_DIFFERENCE: f32 = 1e-3;

/// A small network run both ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FusionBenchmark {
    /// How long it took as one operation after the other.
    pub apart: Duration,
    /// How long with blocks fused.
    pub fused: Duration,
    /// Whether the results were the same, but for rounding; no where a driver refuses the larger kernel.
    pub agree: bool,
}

impl FusionBenchmark {
    /// What is faster, and right.
    pub fn preference(&self) -> Preference {
        let is_fused = self.agree && self.fused < self.apart;
        Preference { storage: None, most_fused: if is_fused { MOST_FUSED } else { 0 } }
    }
}

impl Engine {
    /// What is faster on this GPU, by a [`Engine::trial`]; of a software one it is known. Where the trial
    /// cannot be run it is the default.
    pub async fn preference(&self) -> Preference {
        if self.is_software {
            return Preference::default();
        }
        let trial = self.trial(DIMS).await;
        trial.map(|trial| trial.preference()).unwrap_or_default()
    }

    /// Runs a small network of some voxels both ways, in turn.
    ///
    /// # Errors
    /// As [`Engine::run`], of one operation after the other.
    pub async fn trial(&self, dims: [usize; 3]) -> Result<FusionBenchmark, Error> {
        let network = Network::new(dims)?;
        let mut apart = network.way(self, 0).await?;
        let Ok(mut fused) = network.way(self, MOST_FUSED).await else {
            return Ok(FusionBenchmark {
                apart: Duration::ZERO,
                fused: Duration::MAX,
                agree: false,
            });
        };
        // The first run of each does not count: kernels are loaded then.
        for n in 0..=REPEATS {
            for way in [&mut apart, &mut fused] {
                let took = network.run(self, way).await?;
                way.least = if n == 0 { way.least } else { way.least.min(took) };
            }
        }
        let found = self.read(&fused.plan, &fused.resources).await?;
        let agree = agree(&found, &self.read(&apart.plan, &apart.resources).await?);
        Ok(FusionBenchmark { apart: apart.least, fused: fused.least, agree })
    }
}

/// A way to run the network, ready to.
struct Way {
    plan: Plan,
    resources: Resources,
    least: Duration,
}

/// A network of one level with two reversible blocks, as wide as the larger networks at full
/// resolution.
struct Network {
    program: Program,
    weights: Weights,
    input: Vec<f32>,
}

impl Network {
    fn new(dims: [usize; 3]) -> Result<Network, Error> {
        let config = UNetConfig::preset("demo", 1, 1)
            .map(|demo| UNetConfig { widths: vec![32], ..demo })
            .and_then(|config| Ok((Program::new(&config, dims)?, config)));
        let (program, config) =
            config.map_err(|error| Error::program("the network of a trial", error))?;
        let array = |parameter: model_core::network::config::Parameter| {
            let values = numbers(parameter.shape.iter().product());
            (parameter.name, Array { shape: parameter.shape, values })
        };
        let weights = parameters(&config).into_iter().map(array).collect();
        Ok(Network { program, weights, input: numbers(dims.iter().product()) })
    }

    async fn way(&self, engine: &Engine, most_fused: usize) -> Result<Way, Error> {
        let (storage, parts, slab_bytes) = (Storage::F32, 1, crate::MAX_BINDING_BYTES);
        let plan =
            Plan::new(&self.program, PlanOptions { storage, parts, most_fused, slab_bytes })?;
        let resources = engine.loaded(&plan, &self.weights, &self.input).await?;
        Ok(Way { plan, resources, least: Duration::MAX })
    }

    /// How long a run takes, without what comes before and after.
    async fn run(&self, engine: &Engine, way: &Way) -> Result<Duration, Error> {
        // What was done in place has overwritten it.
        for part in &way.plan.input {
            way.resources.put(&engine.queue, &way.plan, part, &self.input);
        }
        engine.queue.submit([]);
        engine.idle().await?;
        let started = Instant::now();
        engine.execute(&way.plan, &way.resources, &mut |_| ControlFlow::Continue(())).await?;
        Ok(started.elapsed())
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
