//! The worker's state between requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use futures_util::future::AbortHandle;
use model_core::formats::study::Study;
use model_core::{
    Bundle, DEFAULT_OVERLAP, Error, Input, Placement, Program, Tiling, Volume, preprocess,
};
use shaders::Session;

use super::run_plan::{RunPlan, Target};
use super::team::Team;
use crate::protocol::{ChannelId, ModelId, RunInputs};

thread_local! {
    /// The worker's state.
    pub static STATE: RefCell<WorkerState> = RefCell::default();
    /// Stops the run in progress.
    pub static ABORT_HANDLE: RefCell<Option<AbortHandle>> = RefCell::default();
}

/// The worker's state between requests.
#[derive(Default)]
pub struct WorkerState {
    /// The open models by the page's id.
    pub models: HashMap<u32, Model>,
    /// The open scans' channels.
    pub channels: HashMap<ChannelId, Rc<Volume>>,
    /// The open studies.
    pub studies: HashMap<u32, Rc<Study>>,
    /// The prepared inputs of the next run.
    pub prepared: Option<Rc<PreparedScan>>,
    /// The plan for the prepared inputs.
    pub plan: Option<RunPlan>,
    /// Whether the processor may take over if the GPU fails.
    pub may_change_engine: bool,
    /// A tiled run for the prepared inputs, offered if there is no plan.
    pub tiled_run: Option<TiledRun>,
    /// The connection to the GPU.
    pub session: Session,
    /// The workers on the processor.
    pub team: Team,
}

/// An open model.
pub struct Model {
    /// SHA-256 of the model's tensors.
    pub hash: String,
    /// The model bundle.
    pub bundle: Rc<Bundle>,
    /// The bundle's file, for the workers that compute parts of a run.
    pub bytes: Rc<[u8]>,
}

/// The network's input made from a scan, for any memory budget.
pub struct PreparedScan {
    /// The model and the scans that were requested.
    pub inputs: RunInputs,
    /// The model bundle.
    pub bundle: Rc<Bundle>,
    /// The bundle's file.
    pub bundle_bytes: Rc<[u8]>,
    /// The network's program for the input's size, with logits as output.
    pub program: Program,
    /// The program with labels as output, which takes less memory; `None` for a resampled scan, whose
    /// logits are interpolated at the source's voxels.
    pub deciding: Option<Program>,
    /// The network's input.
    pub input: Input,
    /// The position of the input in the scan.
    pub placement: Placement,
}

/// Overlapping tiles of a scan with the plan of one tile.
#[derive(Clone)]
pub struct TiledRun {
    /// The tiles' positions and weights.
    pub tiling: Rc<Tiling>,
    /// The plan of one tile.
    pub tile_plan: RunPlan,
}

impl WorkerState {
    /// Drops a model or a scan, and the run prepared from it.
    pub fn release(&mut self, resource: u32) {
        self.models.remove(&resource);
        self.studies.remove(&resource);
        self.channels.retain(|id, _| id.resource != resource);
        let uses_resource = |inputs: &RunInputs| {
            inputs.model.resource == resource
                || inputs.channels.iter().any(|id| id.resource == resource)
        };
        if self.prepared.as_ref().is_some_and(|prepared| uses_resource(&prepared.inputs)) {
            self.drop_prepared();
        }
    }

    fn drop_prepared(&mut self) {
        self.prepared = None;
        self.plan = None;
        self.tiled_run = None;
    }

    /// Returns an open model.
    ///
    /// # Errors
    /// A message for the user if it is not open.
    pub fn model(&self, id: &ModelId) -> Result<&Model, String> {
        let model = self.models.get(&id.resource).filter(|model| model.hash == id.hash);
        model.ok_or("the model is no longer open: open it again".into())
    }

    /// Returns the volumes of open channels.
    ///
    /// # Errors
    /// A message for the user if one is not open.
    pub fn volumes(&self, ids: &[ChannelId]) -> Result<Vec<Rc<Volume>>, String> {
        let volumes = ids.iter().map(|id| self.channels.get(id).cloned());
        volumes.collect::<Option<_>>().ok_or("a scan is no longer open: choose it again".into())
    }

    /// Returns the prepared scan of `inputs`.
    ///
    /// # Errors
    /// A message for the user if other inputs were prepared.
    pub fn prepared_for(&self, inputs: &RunInputs) -> Result<Rc<PreparedScan>, String> {
        let prepared = self.prepared.as_ref().filter(|prepared| prepared.inputs == *inputs);
        prepared
            .cloned()
            .ok_or("the run was planned for another model or scan: choose them again".into())
    }

    /// Prepares the network's input, or returns it if `inputs` are prepared already.
    ///
    /// # Errors
    /// A message for the user if the model or a scan is not open, or the scans do not fit the model.
    pub fn prepare(&mut self, inputs: &RunInputs) -> Result<Rc<PreparedScan>, String> {
        if let Ok(prepared) = self.prepared_for(inputs) {
            return Ok(prepared);
        }
        self.drop_prepared();
        let model = self.model(&inputs.model)?;
        let (bundle, bundle_bytes) = (model.bundle.clone(), model.bytes.clone());
        let volumes = self.volumes(&inputs.channels)?;
        let prepared = PreparedScan::new(inputs, (bundle, bundle_bytes), &volumes);
        let prepared = Rc::new(prepared.map_err(|error| error.to_string())?);
        self.prepared = Some(prepared.clone());
        Ok(prepared)
    }
}

impl PreparedScan {
    fn new(
        inputs: &RunInputs,
        (bundle, bundle_bytes): (Rc<Bundle>, Rc<[u8]>),
        volumes: &[Rc<Volume>],
    ) -> Result<PreparedScan, Error> {
        let card = &bundle.card;
        let (input, placement) = preprocess(volumes, &card.preprocess, &card.network)?;
        let program = Program::new(&card.network, input.dims)?;
        let may_decide = !placement.is_resampled();
        let deciding = may_decide.then(|| program.clone().deciding(&card.task));
        let inputs = inputs.clone();
        Ok(PreparedScan { inputs, bundle, bundle_bytes, program, deciding, input, placement })
    }

    /// Plans a run on tiles of the training patch's size. Returns `None` if that size is unknown or does
    /// not fit the budget.
    pub fn tiled_run(&self, target: &Target, budget_bytes: u64) -> Option<TiledRun> {
        let (network, dims) = (&self.bundle.card.network, self.input.dims);
        let tile = network.tile_dims(self.bundle.card.provenance.patch?, dims);
        // The tiles' logits are averaged, so the program must not output labels.
        let program = Program::new(network, tile).ok()?;
        let tile_plan = RunPlan::new(target, &program, budget_bytes).ok()?;
        let tiling = Rc::new(Tiling::new(dims, tile, DEFAULT_OVERLAP));
        Some(TiledRun { tiling, tile_plan })
    }
}
