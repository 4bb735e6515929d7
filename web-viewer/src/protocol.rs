//! The messages between the page and its worker. Arrays of voxels and labels travel beside the messages
//! and are transferred, not copied.

mod part;
mod run;
mod segmentation;

pub use part::{PartRequest, PartResponse};
pub use run::{
    PlanOutcome, PlanSummary, PlannedEngine, RunProgress, RunStage, RunSummary, TiledPlanSummary,
};
pub use segmentation::SegmentationRequest;

use model_core::formats::study::{Identity, SeriesSummary};
use model_core::prepare::{
    BrainChoice, BrainStep, ChannelRecord, PlacementSettings, PreparationRecord,
};
use model_core::{Card, Grid, LabelMap};
use serde::{Deserialize, Serialize};

use crate::measure::Measurement;
use crate::share::{SharedModel, SharedRegion, SharedResult};
use crate::slice::Convention;

/// Identifies an open model. Every request and response about a model carries its id, so that the page
/// and its worker cannot confuse two models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelId {
    /// The page's id of the worker's copy.
    pub resource: u32,
    /// SHA-256 of the model's tensors.
    pub hash: String,
}

/// Identifies a series of an open study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeriesId {
    /// The page's id of the worker's study.
    pub study: u32,
    /// The index of the series in the study.
    pub index: usize,
}

/// Identifies a channel of an open scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChannelId {
    /// The page's id of the worker's copy of the scan.
    pub resource: u32,
    /// The index of the channel in the scan's file.
    pub channel: usize,
}

/// The model and the scans of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInputs {
    /// The model.
    pub model: ModelId,
    /// A scan's channel for each channel of the model's task.
    pub channels: Vec<ChannelId>,
}

/// The choice of the engine that runs the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum EngineChoice {
    /// A graphics card, if there is one that works; otherwise the processor.
    #[default]
    Automatic,
    /// The graphics card, or a software substitute.
    Gpu,
    /// The processor.
    Processor,
}

impl EngineChoice {
    /// The choices with their names in storage, and in words.
    pub const ALL: [(EngineChoice, &str, &str); 3] = [
        (EngineChoice::Automatic, "automatic", "Automatic"),
        (EngineChoice::Gpu, "gpu", "Graphics card"),
        (EngineChoice::Processor, "processor", "Processor"),
    ];

    /// Parses a stored name. Any other text is the automatic choice.
    pub fn parse(name: Option<&str>) -> EngineChoice {
        let found = Self::ALL.into_iter().find(|(_, stored, _)| name == Some(stored));
        found.map_or(EngineChoice::Automatic, |(choice, ..)| choice)
    }

    /// Returns the name in storage.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(choice, ..)| *choice == self);
        found.map_or("", |(_, name, _)| name)
    }
}

/// A request of the page to its worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum WorkerRequest {
    /// Opens the model bundle in the accompanying bytes and stores it.
    OpenBundle {
        /// The id under which to store it.
        resource: u32,
        /// The file's name, for error messages.
        file: String,
    },
    /// Finds the series in the accompanying files and stores them.
    OpenStudy {
        /// The id under which to store the study.
        resource: u32,
        /// The path of each file.
        paths: Vec<String>,
        /// The patient of the studies that are open already, which must be the same.
        patients: Vec<Identity>,
    },
    /// Decodes a series of an open study and stores its channels.
    ReadSeries {
        /// The study and the series' index.
        series: SeriesId,
        /// The id under which to store the channels.
        resource: u32,
    },
    /// Recognizes the contrast of stored channels by their intensities.
    RecognizeContrast {
        /// The channels.
        channels: Vec<ChannelId>,
        /// The network for brain extraction.
        network: ModelId,
        /// The names of the channels that are still missing.
        missing: Vec<String>,
    },
    /// Places stored channels on one grid and stores them.
    Place {
        /// The id under which to store the placed channels.
        resource: u32,
        /// The channel for each name, if there is one.
        channels: Vec<Option<ChannelId>>,
        /// The names of the task's channels.
        names: Vec<String>,
        /// The settings.
        settings: PlacementSettings,
    },
    /// Resamples a stored channel to another's grid by the positions in their headers.
    ResampleByHeader {
        /// The channel.
        channel: ChannelId,
        /// The channel with the grid.
        reference: ChannelId,
    },
    /// Finds the brain in placed channels.
    FindBrain {
        /// The placed channels that are not missing.
        channels: Vec<ChannelId>,
        /// The model, which states whether it expects scans without skull.
        model: ModelId,
        /// The user's choice.
        choice: BrainChoice,
        /// The network for brain extraction, if it is open already.
        network: Option<ModelId>,
    },
    /// Sets placed channels to 0 outside the accompanying mask, and stores them.
    ApplyBrain {
        /// The placed channels.
        channels: Vec<ChannelId>,
        /// The id under which to store the results.
        resource: u32,
    },
    /// Stores the accompanying voxels of a channel, which an earlier worker decoded.
    RestoreChannel {
        /// The id of the scan.
        resource: u32,
        /// The index of the channel in the scan's file.
        channel: usize,
        /// The voxels' grid.
        grid: Grid,
    },
    /// Writes the accompanying labels as a segmentation of a series in DICOM.
    WriteSegmentation {
        /// The series and the regions.
        request: SegmentationRequest,
        /// The labels' grid.
        grid: Grid,
    },
    /// Drops a stored model or scan.
    Release {
        /// The id of the model or scan.
        resource: u32,
    },
    /// Decodes the result in a share link.
    ReadLink {
        /// The link's fragment.
        fragment: String,
    },
    /// Prepares the network's input and plans a run.
    Plan {
        /// The model and the scans.
        inputs: RunInputs,
        /// The engine to plan for.
        engine: EngineChoice,
        /// The memory that the run may take.
        budget_bytes: u64,
        /// The largest budget that the page offers.
        max_budget_bytes: u64,
    },
    /// Runs the network as planned.
    Segment {
        /// The model and the scans, as in the plan's request.
        inputs: RunInputs,
        /// Whether to run on overlapping tiles instead of the whole scan at once. The result differs.
        tiled: bool,
    },
    /// Stops the run.
    Cancel,
}

/// A shared result without its labels, which travel beside the message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkHeader {
    convention: Convention,
    grid: Grid,
    regions: Vec<SharedRegion>,
    model: SharedModel,
    preparation: Option<PreparationRecord>,
    num_edited: u64,
    measurements: Vec<Measurement>,
}

impl LinkHeader {
    /// Splits a result into its header and its labels.
    pub fn split(shared: SharedResult) -> (LinkHeader, Vec<u8>) {
        let SharedResult { labels, convention, regions, model, preparation, .. } = shared;
        let SharedResult { num_edited, measurements, .. } = shared;
        let (grid, labels) = labels.into_parts();
        let header =
            LinkHeader { convention, grid, regions, model, preparation, num_edited, measurements };
        (header, labels)
    }

    /// Joins the header with its labels again.
    pub fn join(self, labels: Vec<u8>) -> SharedResult {
        let LinkHeader { convention, grid, regions, model, preparation, .. } = self;
        let LinkHeader { num_edited, measurements, .. } = self;
        let labels = LabelMap::new(grid, labels).expect("a label for each voxel of the link");
        SharedResult { convention, labels, regions, model, preparation, num_edited, measurements }
    }
}

/// A response of the worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum WorkerResponse {
    /// The worker accepts requests.
    Ready,
    /// The request is done, without a result.
    Done,
    /// The bundle is open.
    Bundle {
        /// The model's id.
        model: ModelId,
        /// The bundle's card.
        card: Box<Card>,
    },
    /// The study is open. One array of gray pixels for each thumbnail accompanies the response.
    Study {
        /// The patient.
        patient: Identity,
        /// The series.
        series: Vec<SeriesSummary>,
        /// The width and the height of each series' thumbnail; zeros if there is none.
        thumbnails: Vec<[usize; 2]>,
        /// Sentences for the user about the files.
        notes: Vec<String>,
        /// The files that cannot be read, with the error.
        refused: Vec<(String, String)>,
    },
    /// The index of each channel's most likely name among the missing ones.
    Contrasts(Vec<Option<usize>>),
    /// The channels are placed. One array of f32 for each changed channel accompanies the response.
    Placed {
        /// The index of the channel on whose grid the others are.
        reference: usize,
        /// The step for each channel.
        records: Vec<ChannelRecord>,
        /// Whether each channel's voxels changed.
        is_changed: Vec<bool>,
    },
    /// The channel is resampled. Its voxels accompany the response.
    Resampled,
    /// The network for brain extraction is needed.
    NeedsBrainNetwork,
    /// The brain is found. Its mask accompanies the response if it was extracted.
    Brain(BrainStep),
    /// The scan is decoded. One array of f32 for each channel accompanies the response.
    Scan {
        /// The channels' grid.
        grid: Grid,
        /// Warnings about the file, one sentence each.
        warnings: Vec<String>,
    },
    /// The link is decoded. Its labels accompany the response.
    Link {
        /// Everything except the labels.
        header: Box<LinkHeader>,
        /// The central labeled voxel, if there is one.
        central_voxel: Option<[usize; 3]>,
    },
    /// The segmentation is written. The bytes of its file accompany the response.
    Segmentation,
    /// The run is planned, or does not fit the budget.
    Planned {
        /// The planned model.
        model: ModelId,
        /// The engines of this computer in words, for diagnostics.
        engines: String,
        /// The plan, or the reason why there is none.
        outcome: PlanOutcome,
    },
    /// The progress of a run. More responses follow.
    Progress(RunProgress),
    /// The run is complete. Its labels accompany the response, and after them each region's
    /// probabilities in steps of 1/255, if there was memory for them.
    Segmented {
        /// The model that ran.
        model: ModelId,
        /// The scan's grid.
        grid: Grid,
        /// The central labeled voxel, if there is one.
        central_voxel: Option<[usize; 3]>,
        /// Details of the run.
        summary: RunSummary,
    },
    /// The run was stopped as requested.
    Canceled,
    /// The request failed, with a message for the user.
    Failed(String),
}
