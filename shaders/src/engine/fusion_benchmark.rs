//! Measures whether fused blocks are faster on a GPU. A fused block never stores the expanded
//! channels, but computes them more than once at the borders of tiles. Which costs more depends on
//! the hardware.

use std::ops::ControlFlow;

use model_core::network::layers::parameters;
use model_core::{Array, Program, UNetConfig, Weights};
use web_time::{Duration, Instant};

use super::Engine;
use crate::kernels::Storage;
use crate::resources::Resources;
use crate::{Error, Output, Plan, PlanOptions, Preference};

/// Largest width of fused blocks. Wider blocks are at lower levels, where feature maps are small;
/// the fused kernel would read the input more often than the stored expansion costs.
const MOST_FUSED: usize = 32;

/// Voxels of the benchmark along i, j, k: enough to occupy a fast GPU for a millisecond.
const DIMS: [usize; 3] = [64, 64, 48];

/// Timed runs of each variant, alternating; the fastest counts.
const REPEATS: usize = 3;

/// Largest allowed difference of the two results, relative to the largest value.
const MOST_DIFFERENCE: f32 = 1e-3;

/// The result of a small network run with and without fusion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FusionBenchmark {
    /// Time without fusion.
    pub apart: Duration,
    /// Time with fused blocks.
    pub fused: Duration,
    /// Whether the results agree up to rounding; false if a driver rejects the larger kernel.
    pub agree: bool,
}

impl FusionBenchmark {
    /// Returns the faster variant, if its results are right.
    pub fn preference(&self) -> Preference {
        let is_fused = self.agree && self.fused < self.apart;
        Preference { storage: None, max_fused_channels: if is_fused { MOST_FUSED } else { 0 } }
    }
}

impl Engine {
    /// Returns the faster variant on this GPU, measured by [`Engine::trial`]; for software GPUs it
    /// is known. Returns the default if the benchmark fails.
    pub async fn preference(&self) -> Preference {
        if self.is_software {
            return Preference::default();
        }
        let trial = self.trial(DIMS).await;
        trial.map(|trial| trial.preference()).unwrap_or_default()
    }

    /// Runs a small network of `dims` voxels with and without fusion, alternating.
    ///
    /// # Errors
    /// The errors of [`Engine::run`] without fusion.
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
        // The first run of each variant loads kernels and does not count.
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

/// A variant, ready to run.
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
            .and_then(|demo| demo.with(|demo| demo.widths = vec![32]))
            .and_then(|config| Ok((Program::new(&config, dims)?, config)));
        let (program, config) =
            config.map_err(|error| Error::program("the network of a trial", error))?;
        let array = |parameter: model_core::network::layers::Parameter| {
            let values = numbers(parameter.shape.iter().product());
            (parameter.name, Array { shape: parameter.shape, values })
        };
        let weights = parameters(&config).into_iter().map(array).collect();
        Ok(Network { program, weights, input: numbers(dims.iter().product()) })
    }

    async fn way(&self, engine: &Engine, max_fused_channels: usize) -> Result<Way, Error> {
        let (storage, channel_splits, slab_bytes) = (Storage::F32, 1, crate::MAX_BINDING_BYTES);
        let plan = Plan::new(
            &self.program,
            PlanOptions { storage, channel_splits, max_fused_channels, slab_bytes },
        )?;
        let resources = engine.loaded(&plan, &self.weights, &self.input).await?;
        Ok(Way { plan, resources, least: Duration::MAX })
    }

    /// Returns the time of a run without upload and readback.
    async fn run(&self, engine: &Engine, way: &Way) -> Result<Duration, Error> {
        // In-place operations have overwritten the input.
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

/// Returns pseudo-random numbers between −1 and 1.
fn numbers(count: usize) -> Vec<f32> {
    let hash =
        |n: usize| (n as u32).wrapping_mul(0x9e37_79b9).rotate_left(13).wrapping_mul(0x85eb_ca6b);
    (0..count).map(|n| hash(n) as f32 / (u32::MAX / 2) as f32 - 1.0).collect()
}

fn agree(a: &Output, b: &Output) -> bool {
    let (Output::Logits(a), Output::Logits(b)) = (a, b) else { return a == b };
    let largest = b.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    // A comparison with NaN is false.
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= MOST_DIFFERENCE * largest)
}
