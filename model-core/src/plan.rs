//! The memory and the work of a training step, told before it runs.
//!
//! A step is run on tensors that know their size and nothing else ([`heap`]), by functions that
//! mirror [`crate::nets`] and on the same list of layers; what each op holds it declares beside its
//! kernel ([`crate::kernels::Memory`]). So the plan follows the network, and the order in which
//! things are freed, and not a formula.

use serde::Serialize;

use crate::config::{UNetConfig, parameters};
use crate::kernels::Place;
use crate::layers::{Backward, Layer, Parameter, segments, steps, units};
use crate::nets::Precision;
use crate::{Error, Result};

mod branch;
mod fit;
mod heap;
mod network;
mod tape;

pub use fit::{Fit, fit};

use heap::Heap;
use network::Parts;
use tape::{Machine, Tape};

/// Under what a step runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whose kernels.
    pub place: Place,
    /// Volumes a step.
    pub batch: usize,
    /// The types of the tensors.
    pub precision: Precision,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { place: Place::Cpu, batch: 1, precision: Precision::F32 }
    }
}

/// How the backward pass gets its activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Blocks are rewound.
    Reversible,
    /// Everything is stored: the twin of the reversible network.
    Twin,
    /// Of n layers √n inputs are stored, the rest is computed again.
    Checkpointed,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 3] = [Mode::Reversible, Mode::Twin, Mode::Checkpointed];

    /// The same network, run in this mode.
    pub fn of(self, config: &UNetConfig) -> UNetConfig {
        let (reversible, checkpointed) = (self == Mode::Reversible, self == Mode::Checkpointed);
        UNetConfig { reversible, checkpointed, ..config.clone() }
    }

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Reversible => "reversible",
            Mode::Twin => "twin",
            Mode::Checkpointed => "checkpointed",
        }
    }
}

/// A network's step, level by level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The input's voxels along i, j, k.
    pub size: [usize; 3],
    /// Volumes a step.
    pub batch: usize,
    /// Bytes of a number between layers, and in the reversible streams.
    pub float_bytes: [u64; 2],
    /// From full resolution down.
    pub levels: Vec<Level>,
    /// Numbers in all parameters.
    pub parameters: u64,
    /// Bytes of the parameters, Adam's two moments and the moving average: f32, whatever the
    /// precision.
    pub state_bytes: u64,
    /// Multiply-adds of a forward pass: of convolutions, and 8 a voxel of up-sampling.
    pub forward_multiply_adds: u64,
    /// The step in each mode; the reversible one only where something can be rewound.
    pub runs: Vec<Run>,
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

/// A step in one mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Which.
    pub mode: Mode,
    /// From full resolution down.
    pub levels: Vec<LevelRun>,
    /// Bytes held between the forward and the backward pass: everything that is stored for
    /// backward, with the input and the logits.
    pub stored_bytes: u64,
    /// The most bytes held during the step, with the parameters' gradients, without
    /// [`Plan::state_bytes`].
    pub peak_bytes: u64,
    /// Multiply-adds of forward and backward pass, with what is computed again.
    pub step_multiply_adds: u64,
    /// What is computed again, as a share of a forward pass.
    pub extra_forward: f64,
}

/// A level's part in a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelRun {
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
pub fn plan(config: &UNetConfig, dims: [usize; 3], settings: Settings) -> Result<Plan> {
    check(config, dims)?;
    let stored = simulate(&Mode::Twin.of(config), dims, settings);
    let forward: u64 = stored.forward.iter().sum();
    let twin: u64 = stored.step.iter().sum();
    let runs = Mode::ALL.into_iter().filter(|&mode| mode != Mode::Reversible || can_rewind(config));
    let runs =
        runs.map(|mode| {
            let found = simulate(&mode.of(config), dims, settings);
            let step_multiply_adds: u64 = found.step.iter().sum();
            let levels = found.stored.iter().zip(&found.peak).zip(&found.step);
            let levels = levels.map(|((&stored_bytes, &peak_bytes), &step_multiply_adds)| {
                LevelRun { stored_bytes, peak_bytes, step_multiply_adds }
            });
            Run {
                mode,
                levels: levels.collect(),
                stored_bytes: found.stored.iter().sum(),
                peak_bytes: found.peak.iter().copied().max().unwrap_or(0),
                step_multiply_adds,
                extra_forward: (step_multiply_adds - twin) as f64 / forward as f64,
            }
        });
    let parameters = num_parameters(config);
    Ok(Plan {
        size: dims,
        batch: settings.batch,
        float_bytes: [settings.precision.compute, settings.precision.stream].map(float_bytes),
        levels: levels(config, dims, &stored.forward),
        parameters,
        state_bytes: state_bytes(parameters),
        forward_multiply_adds: forward,
        runs: runs.collect(),
    })
}

/// Whether any of a network's layers can be rewound.
pub fn can_rewind(config: &UNetConfig) -> bool {
    let segments = segments(&Mode::Reversible.of(config));
    segments.iter().any(|segment| segment.backward == Backward::Rewound)
}

fn check(config: &UNetConfig, dims: [usize; 3]) -> Result<()> {
    config.check()?;
    config.check_size(dims)?;
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
    4 * 4 * parameters
}

fn float_bytes(float: burn::tensor::FloatDType) -> u64 {
    burn::tensor::DType::from(float).size() as u64
}

fn levels(config: &UNetConfig, dims: [usize; 3], work: &[u64]) -> Vec<Level> {
    let mut parameters = vec![0; config.num_levels()];
    for step in steps(config) {
        parameters[step.level] += match &step.layer {
            Layer::Reflect { channels, reflections, .. } => channels * reflections,
            layer => {
                units(layer).iter().flat_map(|u| u.parameters()).map(|p: Parameter| p.len()).sum()
            }
        } as u64;
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
struct Found {
    forward: Vec<u64>,
    step: Vec<u64>,
    stored: Vec<u64>,
    peak: Vec<u64>,
}

fn simulate(config: &UNetConfig, dims: [usize; 3], settings: Settings) -> Found {
    let machine = Machine {
        heap: Heap::new(config.num_levels()),
        place: settings.place,
        compute: float_bytes(settings.precision.compute),
        stream: float_bytes(settings.precision.stream),
        batch: settings.batch,
        gradients: Default::default(),
        work: vec![0; config.num_levels()].into(),
    };
    let mut tape = Tape::default();
    let x = machine.cast(&mut tape, machine.input(config.in_channels, dims), machine.compute);
    let logits = machine.segments(&mut tape, Parts::Whole(x), &segments(config));
    let logits = machine.cast(&mut tape, logits, 4);
    let forward = machine.work.borrow().clone();
    let stored = machine.heap.live_by_level();
    machine.heap.enter(0);
    let seed = machine.tensor(config.out_channels, dims, 4);
    let branch = config.vae.as_ref().map(|vae| machine.branch(config, vae, dims));
    let node = logits.node;
    drop(logits);
    drop(tape.backward(&machine, node, seed));
    drop(branch);
    let (step, peak) = (machine.work.borrow().clone(), machine.heap.peak_by_level());
    Found { forward, step, stored, peak }
}
