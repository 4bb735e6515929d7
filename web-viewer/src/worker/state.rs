//! What the worker holds between messages.

use std::collections::HashMap;
use std::rc::Rc;

use model_core::{
    Bundle, DEFAULT_OVERLAP, Error, Input, Placement, Program, Tiling, Volume, preprocess,
};
use shaders::kernels::Storage;
use shaders::{Preference, Session};

use crate::protocol::{Inputs, Plan};

/// What the worker holds between messages.
#[derive(Default)]
pub struct WorkerState {
    /// Models by their number.
    pub models: HashMap<u32, Model>,
    /// Scans by their number and channel.
    pub scans: HashMap<(u32, usize), Volume>,
    /// The scan that a run begins with.
    pub prepared: Option<Rc<Prepared>>,
    /// The run that was planned for it.
    pub plan: Option<shaders::Plan>,
    /// What can be run instead, where nothing could be planned.
    pub windows: Option<Tiles>,
    /// The GPU.
    pub session: Session,
}

/// A model that the page holds.
pub struct Model {
    /// SHA-256 of its tensors.
    pub hash: String,
    /// The model.
    pub bundle: Rc<Bundle>,
}

/// A scan as the network takes it, whatever the memory.
pub struct Prepared {
    /// Of what it was made.
    pub inputs: Inputs,
    /// The model that it was made for.
    pub bundle: Rc<Bundle>,
    /// What is run on it.
    pub program: Program,
    /// The network's input.
    pub input: Input,
    /// Where that lies in the scan.
    pub placement: Placement,
}

/// Overlapping windows of a scan, and how each is run.
#[derive(Clone)]
pub struct Tiles {
    /// Where they lie.
    pub tiling: Rc<Tiling>,
    /// How one is run.
    pub plan: shaders::Plan,
}

impl WorkerState {
    /// Drops the model or the scan of a number, and what was prepared from it.
    pub fn release(&mut self, number: u32) {
        self.models.remove(&number);
        self.scans.retain(|(scan, _), _| *scan != number);
        let uses = |inputs: &Inputs| {
            inputs.model.number == number || inputs.channels.iter().any(|(scan, _)| *scan == number)
        };
        if self.prepared.as_ref().is_some_and(|prepared| uses(&prepared.inputs)) {
            self.forget_run();
        }
    }

    /// Drops what was prepared for a run.
    fn forget_run(&mut self) {
        self.prepared = None;
        self.plan = None;
        self.windows = None;
    }

    /// What was prepared of these inputs.
    ///
    /// # Errors
    /// In words for the person at the page, when it was another model or scan that was prepared.
    pub fn prepared_of(&self, inputs: &Inputs) -> Result<Rc<Prepared>, String> {
        let prepared = self.prepared.as_ref().filter(|prepared| prepared.inputs == *inputs);
        prepared
            .cloned()
            .ok_or("the run was planned for another model or scan: choose them again".into())
    }

    /// The network's input, made once.
    ///
    /// # Errors
    /// In words for the person at the page.
    pub fn prepare(&mut self, inputs: &Inputs) -> Result<Rc<Prepared>, String> {
        if let Ok(prepared) = self.prepared_of(inputs) {
            return Ok(prepared);
        }
        self.forget_run();
        let model = self.models.get(&inputs.model.number);
        let model = model.filter(|model| model.hash == inputs.model.hash);
        let bundle = model.ok_or("the model is not open any more: open it again")?.bundle.clone();
        if !inputs.channels.iter().all(|place| self.scans.contains_key(place)) {
            return Err("a scan is not open any more: choose it again".into());
        }
        // Taken out and put back: a copy would double the largest thing in memory.
        let taken = inputs.channels.iter().map(|place| Some((*place, self.scans.remove(place)?)));
        let (places, volumes): (Vec<_>, Vec<_>) = taken.flatten().unzip();
        let prepared = Prepared::new(inputs, bundle, &volumes).map_err(|e| e.to_string());
        self.scans.extend(places.into_iter().zip(volumes));
        let prepared = Rc::new(prepared?);
        self.prepared = Some(prepared.clone());
        Ok(prepared)
    }
}

impl Prepared {
    fn new(inputs: &Inputs, bundle: Rc<Bundle>, volumes: &[Volume]) -> Result<Prepared, Error> {
        let card = &bundle.card;
        let (input, placement) = preprocess(volumes, &card.preprocess, &card.network)?;
        let mut program = Program::new(&card.network, input.dims)?;
        // A resampled scan needs logits, to interpolate them at the source's voxels.
        if !placement.is_resampled() {
            program = program.deciding(&card.task);
        }
        Ok(Prepared { inputs: inputs.clone(), bundle, program, input, placement })
    }

    /// Windows as large as the patches that the model was trained on, where that is known and one
    /// fits the budget.
    pub fn windows(&self, preference: Preference, budget_bytes: u64) -> Option<Tiles> {
        let (network, dims) = (&self.bundle.card.network, self.input.dims);
        let patch = network.padded(self.bundle.card.provenance.patch?);
        let window = std::array::from_fn(|axis| patch[axis].min(dims[axis]));
        // Logits of windows are averaged, so none decides.
        let program = Program::new(network, window).ok()?;
        let plan = shaders::Plan::preferring(preference, &program, budget_bytes).ok()?;
        let tiling = Rc::new(Tiling::new(dims, window, DEFAULT_OVERLAP));
        Some(Tiles { tiling, plan })
    }

    /// What a plan will take, as the page says it.
    pub fn stated(&self, plan: &shaders::Plan) -> Plan {
        Plan {
            dims: plan.program.buffers[plan.program.input.buffer].dims,
            multiply_adds: plan.multiply_adds(),
            gpu_bytes: plan.footprint.total_bytes,
            bits: match plan.manner.storage {
                Storage::F32 => 32,
                Storage::F16 => 16,
            },
        }
    }
}
