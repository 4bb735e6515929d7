//! Estimates memory and work of a training step before it runs.
//!
//! The estimate runs a step on tensors that know only their size
//! (`memory_estimate/simulated_heap.rs`), by functions that mirror [`crate::nets`] on the same list
//! of layers. What each op holds is declared beside its kernel ([`crate::kernels::OpMemory`]). So
//! the estimate follows the network and the order in which tensors are freed, not a formula.

use serde::Serialize;

use crate::kernels::DeviceKind;
use crate::network::config::{BackwardMode, UNetConfig};
use crate::network::layers::{Backward, deep_heads, parameters, segments, steps};
use crate::{Error, Result};

mod branch;
mod fit;
mod forward;
mod network;
mod rewind;
mod settings;
mod simulated_graph;
mod simulated_heap;
mod skips;

pub use fit::{Fit, LargestFit, fit};
pub use forward::forward_peak_bytes;
pub use settings::Settings;

use network::FeatureMap;
use settings::float_bytes;
use simulated_graph::{SimulatedDevice, SimulatedGraph};

/// The estimate of a network's training step, by level and in total.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryEstimate {
    /// Voxels of the input along i, j, k.
    pub size: [usize; 3],
    /// Volumes per step.
    pub batch: usize,
    /// The device whose kernels run.
    pub place: DeviceKind,
    /// Bytes per value between layers, and in the reversible streams.
    pub float_bytes: [u64; 2],
    /// Levels from full resolution down.
    pub levels: Vec<Level>,
    /// The variational branch. Its stored bytes and work are included in the levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<Branch>,
    /// Number of values of all parameters.
    pub parameters: u64,
    /// Bytes of the parameters, Adam's two moments and the moving average, always in f32.
    pub state_bytes: u64,
    /// Multiply-adds of a forward pass: those of convolutions, and 8 per up-sampled voxel.
    pub forward_multiply_adds: u64,
    /// The step in each mode. The reversible mode is present only if some layer can be rewound.
    pub runs: Vec<ModeEstimate>,
}

/// Properties of a level that do not depend on the mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Level {
    /// Voxels along i, j, k.
    pub size: [usize; 3],
    /// Channels.
    pub width: usize,
    /// Number of parameter values. The first level includes the head.
    pub parameters: u64,
    /// Multiply-adds of the level's forward pass.
    pub forward_multiply_adds: u64,
}

/// The variational branch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Branch {
    /// Number of parameter values.
    pub parameters: u64,
    /// Multiply-adds of the branch's forward pass.
    pub forward_multiply_adds: u64,
}

/// The estimate in one mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModeEstimate {
    /// The mode.
    pub mode: BackwardMode,
    /// Levels from full resolution down.
    pub levels: Vec<LevelModeEstimate>,
    /// Bytes held between the forward and the backward pass, with the input and the logits.
    pub stored_bytes: u64,
    /// Peak bytes during the step, with the gradients of the parameters, without
    /// [`MemoryEstimate::state_bytes`].
    pub peak_bytes: u64,
    /// Multiply-adds of forward and backward pass, including recomputation.
    pub step_multiply_adds: u64,
    /// Recomputed work as a fraction of a forward pass.
    pub extra_forward: f64,
}

/// A level's part of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelModeEstimate {
    /// Bytes that the level's layers store for the backward pass.
    pub stored_bytes: u64,
    /// Peak bytes of all levels while this level computes.
    pub peak_bytes: u64,
    /// Multiply-adds of forward and backward pass.
    pub step_multiply_adds: u64,
}

/// Estimates a training step on an input of `dims` (i, j, k).
///
/// # Errors
/// [`Error::Network`] if the configuration cannot be built or does not accept `dims`.
pub fn estimate(
    config: &UNetConfig,
    dims: [usize; 3],
    settings: Settings,
) -> Result<MemoryEstimate> {
    check(config, dims, settings.batch)?;
    let modes = BackwardMode::ALL
        .into_iter()
        .filter(|&mode| mode != BackwardMode::Reversible || can_rewind(config));
    let found: Vec<(BackwardMode, EstimateTotals)> =
        modes.map(|mode| (mode, simulate(&config.in_mode(mode), dims, settings))).collect();
    let (_, non_reversible) = found
        .iter()
        .find(|(mode, _)| *mode == BackwardMode::NonReversible)
        .expect("among all modes");
    let forward = non_reversible
        .forward
        .iter()
        .fold(non_reversible.branch, |sum, work| sum.saturating_add(*work));
    let run = |(mode, found): &(BackwardMode, EstimateTotals)| ModeEstimate {
        mode: *mode,
        levels: found.levels(),
        stored_bytes: found.stored.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
        peak_bytes: found.peak.iter().copied().max().unwrap_or(0),
        step_multiply_adds: found.work(),
        extra_forward: found.work().saturating_sub(non_reversible.work()) as f64 / forward as f64,
    };
    let levels = levels(config, dims, &non_reversible.forward);
    let parameters = num_parameters(config);
    let branch = config.vae.is_some().then(|| Branch {
        parameters: parameters - levels.iter().map(|level| level.parameters).sum::<u64>(),
        forward_multiply_adds: non_reversible.branch,
    });
    Ok(MemoryEstimate {
        size: dims,
        batch: settings.batch,
        place: settings.place,
        float_bytes: [settings.precision.compute, settings.precision.stream].map(float_bytes),
        levels,
        branch,
        parameters,
        state_bytes: state_bytes(parameters),
        forward_multiply_adds: forward,
        runs: found.iter().map(run).collect(),
    })
}

/// Returns whether any layer of a network can be rewound.
pub fn can_rewind(config: &UNetConfig) -> bool {
    let segments = segments(&config.in_mode(BackwardMode::Reversible));
    segments.iter().any(|segment| segment.backward == Backward::Rewound)
}

/// Upper bound of an axis and of the volumes per step: larger counts overflow.
const MAX_AXIS: usize = 1 << 14;

fn check(config: &UNetConfig, dims: [usize; 3], batch: usize) -> Result<()> {
    config.check_size(dims)?;
    if dims.iter().chain([&batch]).any(|&n| n > MAX_AXIS) {
        let found = format!("{dims:?}, batch {batch}");
        return Err(Error::network(format!("axes and a batch of at most {MAX_AXIS}"), found));
    }
    if let Some(vae) = config.vae.as_ref().filter(|vae| vae.patch != Some(dims)) {
        let expected = format!("the vae.patch {:?}", vae.patch.unwrap_or_default());
        return Err(Error::network(expected, format!("{dims:?}")));
    }
    Ok(())
}

fn num_parameters(config: &UNetConfig) -> u64 {
    parameters(config).iter().map(|parameter| parameter.len() as u64).sum()
}

/// Parameters, two moments and the moving average.
fn state_bytes(parameters: u64) -> u64 {
    parameters.saturating_mul(4 * 4)
}

fn levels(config: &UNetConfig, dims: [usize; 3], work: &[u64]) -> Vec<Level> {
    let mut parameters = vec![0; config.num_levels()];
    for step in steps(config) {
        parameters[step.level] +=
            step.layer.parameters().iter().map(|p| p.len() as u64).sum::<u64>();
    }
    for (head, level) in deep_heads(config).iter().zip((1..=config.deep_supervision).rev()) {
        parameters[level] += head.parameters().iter().map(|p| p.len() as u64).sum::<u64>();
    }
    let levels = config.widths.iter().zip(parameters).zip(work).enumerate();
    levels
        .map(|(level, ((&width, parameters), &forward_multiply_adds))| Level {
            size: dims.map(|d| d >> level),
            width,
            parameters,
            forward_multiply_adds,
        })
        .collect()
}

/// Totals of a step, by level.
struct EstimateTotals {
    /// Multiply-adds of the network's forward pass.
    forward: Vec<u64>,
    /// Multiply-adds of the branch's forward pass, over all levels.
    branch: u64,
    step: Vec<u64>,
    stored: Vec<u64>,
    peak: Vec<u64>,
}

impl EstimateTotals {
    fn work(&self) -> u64 {
        self.step.iter().fold(0, |sum, work| sum.saturating_add(*work))
    }

    fn levels(&self) -> Vec<LevelModeEstimate> {
        let levels = self.stored.iter().zip(&self.peak).zip(&self.step);
        let level = |((&stored_bytes, &peak_bytes), &step_multiply_adds)| LevelModeEstimate {
            stored_bytes,
            peak_bytes,
            step_multiply_adds,
        };
        levels.map(level).collect()
    }
}

fn simulate(config: &UNetConfig, dims: [usize; 3], settings: Settings) -> EstimateTotals {
    let device = SimulatedDevice::new(config, settings);
    let mut graph = SimulatedGraph::default();
    let x = device.cast(&mut graph, device.input(config.in_channels(), dims), device.compute);
    let logits = device.segments(&mut graph, FeatureMap::Whole(x), &segments(config));
    let logits = device.cast(&mut graph, logits, 4);
    let forward = device.work.borrow().clone();
    let stored = device.heap.live_by_level();
    device.heap.enter(0);
    let seed = device.tensor(config.out_channels(), dims, 4);
    let branch = match &config.vae {
        Some(vae) => device.branch(config, vae, dims),
        None => {
            device.bottom.take();
            0
        }
    };
    let node = logits.node;
    drop(logits);
    drop(graph.backward(&device, node, seed));
    let (step, peak) = (device.work.borrow().clone(), device.heap.peak_by_level());
    EstimateTotals { forward, branch, step, stored, peak }
}
