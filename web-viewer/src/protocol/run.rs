//! The plan, the progress and the summary of a run.

use serde::{Deserialize, Serialize};

/// The engine of a planned or completed run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlannedEngine {
    /// The GPU, by the name that the browser reports; empty if it hides the name.
    Gpu(String),
    /// The processor, on so many workers.
    Processor(usize),
}

/// Details of a completed run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The duration of the run.
    pub elapsed_secs: f64,
    /// The plan that ran last; in a tiled run, that of one tile.
    pub plan: PlanSummary,
    /// The number of tiles, or `None` if the network saw the whole scan at once.
    pub num_tiles: Option<usize>,
    /// The fallbacks of the run in words; empty if there were none.
    pub fallbacks: String,
}

/// The outcome of planning a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PlanOutcome {
    /// The run fits the budget.
    Fits(PlanSummary),
    /// The run does not fit the budget in any form.
    Exceeds {
        /// The memory that the smallest form needs.
        smallest_bytes: u64,
        /// A message for the user.
        message: String,
        /// A tiled run instead, offered only if the run exceeds even the largest budget.
        tiled: Option<TiledPlanSummary>,
    },
}

/// The plan of a run on overlapping tiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TiledPlanSummary {
    /// The number of tiles.
    pub num_tiles: usize,
    /// The plan of one tile.
    pub tile_plan: PlanSummary,
}

/// The size and the cost of a planned run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// The engine.
    pub engine: PlannedEngine,
    /// The size of the network's input along right, anterior, superior.
    pub dims: [usize; 3],
    /// The number of multiply-adds.
    pub multiply_adds: u64,
    /// The bytes allocated by the engine.
    pub bytes: u64,
    /// The bits in which each value of a feature map is stored: 32 or 16.
    pub bits: u32,
}

/// The progress of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    /// The current stage.
    pub stage: RunStage,
    /// The index of the current tile, and the number of tiles.
    pub tile: [usize; 2],
    /// The numbers of completed and of all steps on the GPU; zeros on the processor.
    pub steps: [usize; 2],
    /// The completed fraction of all multiply-adds, 0 to 1.
    pub fraction: f64,
    /// The fallbacks so far in words; empty if there were none.
    pub fallbacks: String,
}

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunStage {
    /// Places the channels on one grid.
    PlaceChannels,
    /// Finds the brain.
    FindBrain,
    /// Opens the GPU and compiles the kernels.
    OpenGpu,
    /// Starts the workers on the processor.
    StartWorkers,
    /// Runs the network's operations.
    Network,
    /// Computes labels from logits on the scan's grid.
    PlaceLabels,
}
