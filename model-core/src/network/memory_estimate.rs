//! The memory and the work of a training step, told before it runs.
//!
//! A step is run on tensors that know their size and nothing else (`plan/heap.rs`), by functions that
//! mirror [`crate::nets`] and on the same list of layers; what each op holds it declares beside its
//! kernel ([`crate::kernels::OpMemory`]). So the plan follows the network, and the order in which
//! things are freed, and not a formula.

use serde::Serialize;

use crate::kernels::DeviceKind;
use crate::nets::Precision;
use crate::network::config::{UNetConfig, parameters};
use crate::network::layers::{Backward, segments, steps};
use crate::{Error, Result};

mod branch;
mod fit;
mod forward;
mod network;
mod simulated_graph;
mod simulated_heap;

pub use fit::{Fit, LargestFit, fit};
pub use forward::forward_peak_bytes;

use network::FeatureMap;
use simulated_graph::{SimulatedDevice, SimulatedGraph};

/// Under what a step runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whose kernels.
    pub place: DeviceKind,
    /// Volumes a step.
    pub batch: usize,
    /// The types of the tensors.
    pub precision: Precision,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { place: DeviceKind::Cpu, batch: 1, precision: Precision::F32 }
    }
}

/// How the backward pass gets its activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Blocks are rewound.
    Reversible,
    /// Everything is stored: the twin of the reversible network.
    NonReversible,
    /// Of n layers √n inputs are stored, the rest is computed again.
    Checkpointed,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 3] = [Mode::Reversible, Mode::NonReversible, Mode::Checkpointed];

    /// The same network, run in this mode.
    pub fn of(self, config: &UNetConfig) -> UNetConfig {
        let (reversible, checkpointed) = (self == Mode::Reversible, self == Mode::Checkpointed);
        UNetConfig { reversible, checkpointed, ..config.clone() }
    }

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Reversible => "reversible",
            Mode::NonReversible => "twin",
            Mode::Checkpointed => "checkpointed",
        }
    }
}

/// A network's step, level by level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryEstimate {
    /// The input's voxels along i, j, k.
    pub size: [usize; 3],
    /// Volumes a step.
    pub batch: usize,
    /// Whose kernels.
    pub place: DeviceKind,
    /// Bytes of a number between layers, and in the reversible streams.
    pub float_bytes: [u64; 2],
    /// From full resolution down.
    pub levels: Vec<Level>,
    /// The variational branch; what it stores and computes in a step is in its levels' shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<Branch>,
    /// Numbers in all parameters.
    pub parameters: u64,
    /// Bytes of the parameters, Adam's two moments and the moving average: f32, whatever the
    /// precision.
    pub state_bytes: u64,
    /// Multiply-adds of a forward pass: of convolutions, and 8 a voxel of up-sampling.
    pub forward_multiply_adds: u64,
    /// The step in each mode; the reversible one only where something can be rewound.
    pub runs: Vec<ModeEstimate>,
}

/// What a level is, in every mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Level {
    /// Voxels along i, j, k.
    pub size: [usize; 3],
    /// Channels.
    pub width: usize,
    /// Numbers in its parameters; the first level has those of the head.
    pub parameters: u64,
    /// Multiply-adds of its forward pass.
    pub forward_multiply_adds: u64,
}

/// The variational branch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Branch {
    /// Numbers in its parameters.
    pub parameters: u64,
    /// Multiply-adds of its forward pass.
    pub forward_multiply_adds: u64,
}

/// A step in one mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModeEstimate {
    /// Which.
    pub mode: Mode,
    /// From full resolution down.
    pub levels: Vec<LevelModeEstimate>,
    /// Bytes held between the forward and the backward pass: everything that is stored for
    /// backward, with the input and the logits.
    pub stored_bytes: u64,
    /// The most bytes held during the step, with the parameters' gradients, without
    /// [`MemoryEstimate::state_bytes`].
    pub peak_bytes: u64,
    /// Multiply-adds of forward and backward pass, with what is computed again.
    pub step_multiply_adds: u64,
    /// What is computed again, as a share of a forward pass.
    pub extra_forward: f64,
}

/// A level's part in a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelModeEstimate {
    /// Bytes stored for backward by its layers.
    pub stored_bytes: u64,
    /// The most bytes held, by all levels, while it works.
    pub peak_bytes: u64,
    /// Multiply-adds of forward and backward pass.
    pub step_multiply_adds: u64,
}

/// Plans a step of a network on an input of `dims` (i, j, k).
///
/// # Errors
/// [`Error::Network`] when the configuration cannot be built or does not take `dims`.
pub fn estimate(
    config: &UNetConfig,
    dims: [usize; 3],
    settings: Settings,
) -> Result<MemoryEstimate> {
    check(config, dims, settings.batch)?;
    let modes =
        Mode::ALL.into_iter().filter(|&mode| mode != Mode::Reversible || can_rewind(config));
    let found: Vec<(Mode, EstimateTotals)> =
        modes.map(|mode| (mode, simulate(&mode.of(config), dims, settings))).collect();
    let (_, twin) =
        found.iter().find(|(mode, _)| *mode == Mode::NonReversible).expect("among all modes");
    let forward = twin.forward.iter().fold(twin.branch, |sum, work| sum.saturating_add(*work));
    let run = |(mode, found): &(Mode, EstimateTotals)| ModeEstimate {
        mode: *mode,
        levels: found.levels(),
        stored_bytes: found.stored.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
        peak_bytes: found.peak.iter().copied().max().unwrap_or(0),
        step_multiply_adds: found.work(),
        extra_forward: found.work().saturating_sub(twin.work()) as f64 / forward as f64,
    };
    let levels = levels(config, dims, &twin.forward);
    let parameters = num_parameters(config);
    let branch = config.vae.is_some().then(|| Branch {
        parameters: parameters - levels.iter().map(|level| level.parameters).sum::<u64>(),
        forward_multiply_adds: twin.branch,
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

/// Whether any of a network's layers can be rewound.
pub fn can_rewind(config: &UNetConfig) -> bool {
    let segments = segments(&Mode::Reversible.of(config));
    segments.iter().any(|segment| segment.backward == Backward::Rewound)
}

/// No axis of a plan is longer, and no step has more volumes: beyond it nothing can be counted.
const MAX_AXIS: usize = 1 << 14;

fn check(config: &UNetConfig, dims: [usize; 3], batch: usize) -> Result<()> {
    config.check()?;
    config.check_size(dims)?;
    if dims.iter().chain([&batch]).any(|&n| n > MAX_AXIS) {
        let found = format!("{dims:?}, batch {batch}");
        return Err(Error::network(format!("axes and a batch of at most {MAX_AXIS}"), found));
    }
    if let Some(vae) = config.vae.as_ref().filter(|vae| vae.patch != dims) {
        return Err(Error::network(format!("the vae.patch {:?}", vae.patch), format!("{dims:?}")));
    }
    Ok(())
}

fn num_parameters(config: &UNetConfig) -> u64 {
    parameters(config).iter().map(|parameter| parameter.len() as u64).sum()
}

/// Parameters, two moments, moving average.
fn state_bytes(parameters: u64) -> u64 {
    parameters.saturating_mul(4 * 4)
}

fn float_bytes(float: burn::tensor::FloatDType) -> u64 {
    burn::tensor::DType::from(float).size() as u64
}

fn levels(config: &UNetConfig, dims: [usize; 3], work: &[u64]) -> Vec<Level> {
    let mut parameters = vec![0; config.num_levels()];
    for step in steps(config) {
        parameters[step.level] +=
            step.layer.parameters().iter().map(|p| p.len() as u64).sum::<u64>();
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

/// What a step came to, by level.
struct EstimateTotals {
    /// Multiply-adds of the network's forward pass.
    forward: Vec<u64>,
    /// Of the branch's, on all levels.
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
    let x = device.cast(&mut graph, device.input(config.in_channels, dims), device.compute);
    let logits = device.segments(&mut graph, FeatureMap::Whole(x), &segments(config));
    let logits = device.cast(&mut graph, logits, 4);
    let forward = device.work.borrow().clone();
    let stored = device.heap.live_by_level();
    device.heap.enter(0);
    let seed = device.tensor(config.out_channels, dims, 4);
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
