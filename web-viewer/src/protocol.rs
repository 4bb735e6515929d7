//! What the page and its worker say to each other. Voxels travel beside these messages, as arrays
//! that change hands without being copied.

use model_core::{Card, Grid, LabelMap};
use serde::{Deserialize, Serialize};

use crate::share::{Shared, SharedModel, SharedRegion};
use crate::slice::Convention;

/// An open model. The page owns it and the worker keeps it: every question about a model names it, and
/// so does every answer, so that neither takes one model for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelId {
    /// The page's number for it.
    pub number: u32,
    /// SHA-256 of its tensors.
    pub hash: String,
}

/// What a run is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The model.
    pub model: ModelId,
    /// For each channel of its task, the number of the scan and which of its channels.
    pub channels: Vec<(u32, usize)>,
}

/// What the page asks of its worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum WorkerRequest {
    /// Open the model bundle sent along, and keep it under a number.
    OpenBundle {
        /// The number.
        number: u32,
        /// Its name, for messages.
        file: String,
    },
    /// Decode the scan sent along, and keep it under a number.
    ReadScan {
        /// The number.
        number: u32,
        /// Its name, for messages.
        file: String,
    },
    /// Keep the channel sent along, which another worker has decoded.
    KeepScan {
        /// The scan's number.
        number: u32,
        /// Which of its channels.
        channel: usize,
        /// Where its voxels lie.
        grid: Grid,
    },
    /// Drop the model or the scan that is kept under a number.
    Release {
        /// The number.
        number: u32,
    },
    /// Read the result in a link.
    ReadLink {
        /// The link's fragment.
        fragment: String,
    },
    /// Make the network's input, and say what a run will take.
    Plan {
        /// Of what it is made.
        inputs: Inputs,
        /// What a run may take on the GPU.
        budget_bytes: u64,
        /// The most that it could be allowed to take.
        most_bytes: u64,
    },
    /// Run the network on what was planned.
    Segment {
        /// Of what it was planned.
        inputs: Inputs,
        /// In overlapping windows instead of on the whole: another function.
        in_windows: bool,
    },
    /// Stop that.
    Cancel,
}

/// A shared result without its labels, which travel beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkHeader {
    convention: Convention,
    grid: Grid,
    regions: Vec<SharedRegion>,
    model: SharedModel,
}

impl LinkHeader {
    /// A result in two parts.
    pub fn split(shared: Shared) -> (LinkHeader, Vec<u8>) {
        let Shared { convention, labels, regions, model } = shared;
        let (grid, labels) = labels.into_parts();
        (LinkHeader { convention, grid, regions, model }, labels)
    }

    /// The result again.
    pub fn with(self, labels: Vec<u8>) -> Shared {
        let LinkHeader { convention, grid, regions, model } = self;
        let labels = LabelMap::new(grid, labels).expect("a label for each voxel of the link");
        Shared { convention, labels, regions, model }
    }
}

/// What the worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum WorkerResponse {
    /// The worker can be asked.
    Ready,
    /// Done; nothing to tell.
    Done,
    /// The bundle is open.
    Bundle {
        /// Which it is.
        model: ModelId,
        /// What it says of itself.
        card: Box<Card>,
    },
    /// The scan is decoded; one array of f32 a channel is sent along.
    Scan {
        /// Where its voxels lie.
        grid: Grid,
        /// What a user should know about the file, a sentence each.
        warnings: Vec<String>,
    },
    /// The link is read; its label codes are sent along.
    Link {
        /// All but the labels.
        header: Box<LinkHeader>,
        /// A labelled voxel in the middle of all, unless there is none.
        middle: Option<[usize; 3]>,
    },
    /// What a run will take.
    Planned {
        /// The model that it is planned for.
        model: ModelId,
        /// The plan.
        planned: Planned,
    },
    /// How far a run is; more answers follow.
    Progress(Progress),
    /// The label map is made; its codes are sent along.
    Segmented {
        /// The model that made it.
        model: ModelId,
        /// Where the voxels lie: the source's grid.
        grid: Grid,
        /// A labelled voxel in the middle of all, unless there is none.
        middle: Option<[usize; 3]>,
        /// How long it took.
        elapsed_secs: f64,
        /// The GPU that did it.
        adapter: String,
        /// The plan that ran in the end: of one window where there are several.
        plan: Plan,
        /// How many windows; none when the network saw the whole at once.
        num_windows: Option<usize>,
        /// What went wrong before, and within what it ran; empty when nothing did.
        setbacks: String,
    },
    /// The run was stopped, as asked.
    Cancelled,
    /// What went wrong, in words for the person at the page.
    Failed(String),
}

/// What a run within the budget will take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Planned {
    /// It can start.
    Fits(Plan),
    /// No way to run it needs so little memory.
    Exceeds {
        /// What the smallest way needs.
        smallest_bytes: u64,
        /// The same in words.
        message: String,
        /// What can be run instead, where no budget on offer suffices.
        windows: Option<Tiles>,
    },
}

/// Overlapping windows, each of which the network sees by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tiles {
    /// How many.
    pub number: usize,
    /// What each will take.
    pub plan: Plan,
}

/// What a run will take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The network's input along right, front, top.
    pub dims: [usize; 3],
    /// Multiply-adds of the run.
    pub multiply_adds: u64,
    /// Bytes on the GPU.
    pub gpu_bytes: u64,
    /// Bits in which a value of a map is stored: 32 or 16.
    pub bits: u32,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// The window that is being run, from 0, and how many there are.
    pub window: [usize; 2],
    /// Steps on the GPU done, and in all.
    pub steps: [usize; 2],
    /// Multiply-adds done, of all: 0 to 1.
    pub share: f64,
    /// What has gone wrong, and within what it runs now; empty when nothing has.
    pub setbacks: String,
}

/// The steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The GPU is opened and its kernels compiled.
    OpenGpu,
    /// The network's operations run.
    Network,
    /// Logits become labels on the scan's grid.
    PlaceLabels,
}
