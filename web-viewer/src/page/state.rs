//! The page's state. Everything that the page shows follows from these signals.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;
use model_core::Volume;
use wasm_bindgen_futures::spawn_local;

use super::browser;
use super::corrections::{CorrectionSettings, Corrections};
use super::opened::{ChannelSlot, LoadedChannel, Model, SeriesEntry};
use super::other_map::Shown;
use super::prepared::{MaskPainting, Preparation, PreparationChoices};
use super::probabilities::Probabilities;
use super::shapes::Shapes;
use super::status::{Phase, Status};
use super::tools::{DEFAULT_RADIUS_MM, Pointed, Tool};
use crate::budget;
use crate::demo::OfferedModel;
use crate::measure::Measurement;
use crate::protocol::{EngineChoice, PlanOutcome, RunInputs, RunProgress};
use crate::share::SharedResult;
use crate::slice::{Colormap, Convention, Plane, RasFrame, RelativeWindow, Window, Zoom};

/// The comparison of the shown channel with the reference, as a checkerboard of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The channel alone.
    Off,
    /// The channel as its header places it.
    Before,
    /// The channel as it was placed.
    After,
}

/// All signals of the page. The struct is copied into every component.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Page {
    pub status: RwSignal<Status>,
    /// A message that stays until it is closed; empty if there is none.
    pub notice: RwSignal<String>,
    /// The reason why this browser cannot run the network on a GPU, with a remedy.
    pub gpu_problem: RwSignal<Option<&'static str>>,
    pub model: RwSignal<Option<Arc<Model>>>,
    /// The models that the server offers.
    pub offered: RwSignal<Vec<OfferedModel>>,
    /// The open model's index among them; `None` if it comes from elsewhere.
    pub chosen: RwSignal<Option<usize>>,
    pub slots: RwSignal<Vec<ChannelSlot>>,
    /// The series of the opened files.
    pub series: RwSignal<Vec<SeriesEntry>>,
    /// Sentences about the opened files.
    pub study_notes: RwSignal<Vec<String>>,
    /// The user's choices for the preparation.
    pub choices: RwSignal<PreparationChoices>,
    /// The prepared channels, once all that are needed are there.
    pub preparation: RwSignal<Option<Preparation>>,
    /// The network for brain extraction, once it was needed.
    pub brain_network: RwSignal<Option<Arc<Model>>>,
    /// The comparison of the shown channel with the reference.
    pub comparison: RwSignal<Comparison>,
    /// A channel, by its index, as its header places it.
    pub before: RwSignal<Option<(usize, Arc<Volume>)>>,
    /// What the main button of the mouse does on a slice.
    pub tool: RwSignal<Tool>,
    /// The radius of the brush.
    pub radius_mm: RwSignal<f64>,
    /// How the result is corrected.
    pub correction_settings: RwSignal<CorrectionSettings>,
    /// The steps that can be undone.
    pub corrections: RwSignal<Corrections>,
    /// The measurements.
    pub measurements: RwSignal<Vec<Measurement>>,
    /// The index of the region whose surface is saved.
    pub saved_region: RwSignal<usize>,
    /// The label map with which the result is compared.
    pub other: RwSignal<Option<Shown>>,
    /// The points of a measurement that is begun, in RAS+ millimeters.
    pub sketch: RwSignal<Vec<[f64; 3]>>,
    /// The mask during a stroke of the brush, and before earlier strokes.
    pub painting: RwSignal<MaskPainting>,
    /// Whether the brain's outline is shown.
    pub shows_mask: RwSignal<bool>,
    pub plan: RwSignal<Option<PlanOutcome>>,
    /// The choice of the engine.
    pub engine: RwSignal<EngineChoice>,
    /// The engines of this computer in words, once a run is planned.
    pub engines: RwSignal<String>,
    /// The memory that a run may take.
    pub budget_mib: RwSignal<u64>,
    pub progress: RwSignal<Option<RunProgress>>,
    /// Whether the run was requested to stop.
    pub is_canceling: RwSignal<bool>,
    pub result: RwSignal<Option<Arc<SharedResult>>>,
    /// The probabilities of the result's regions, if it was computed here.
    pub probabilities: RwSignal<Option<Arc<Probabilities>>>,
    /// Whether regions are drawn as soft outlines instead of filled.
    pub is_outlined: RwSignal<bool>,
    /// Whether the result was opened from a link.
    pub is_from_link: RwSignal<bool>,
    /// Whether each of the result's regions is shown.
    pub visible_regions: RwSignal<Vec<bool>>,
    /// The duration, the engine and the plan of the run that made the result, in one line.
    pub run_summary: RwSignal<String>,
    /// The fallbacks of the run that made the result; empty if there were none.
    pub fallbacks: RwSignal<String>,
    pub share_link: RwSignal<String>,
    /// The index of the slot whose channel is shown.
    pub shown_slot: RwSignal<usize>,
    /// The RAS voxel of the crosshair.
    pub crosshair: RwSignal<[usize; 3]>,
    /// The radiological window of each slot, where the user changed it.
    pub windows: RwSignal<Vec<Option<Window>>>,
    /// The windows that the user chose before, by the channel's name.
    pub remembered_windows: RwSignal<BTreeMap<String, RelativeWindow>>,
    /// The colors of the scan.
    pub colormap: RwSignal<Colormap>,
    /// The opacity of the overlay.
    pub opacity: RwSignal<f32>,
    pub convention: RwSignal<Convention>,
    /// The magnification of each plane's slice.
    pub zooms: RwSignal<[Zoom; 3]>,
    /// The plane that is shown alone; `None` for all three.
    pub enlarged: RwSignal<Option<Plane>>,
    /// The 3-D view.
    pub shapes: Shapes,
    /// Whether the overlay is hidden while a key is held.
    pub hides_overlay: RwSignal<bool>,
    /// Whether axial slices are shown side by side.
    pub shows_mosaic: RwSignal<bool>,
    /// Whether voxels are drawn as squares instead of smoothed.
    pub shows_voxels: RwSignal<bool>,
    /// The voxel under the pointer.
    pub pointed: RwSignal<Option<Pointed>>,
    /// Whether the list of keys is shown.
    pub shows_keys: RwSignal<bool>,
    /// The number of actions begun so far.
    num_actions: RwSignal<u32>,
}

/// The keys under which the browser stores the budget and the engine. An open tab keeps its own.
const BUDGET_KEY: &str = "rewind.budget_mib";
const ENGINE_KEY: &str = "rewind.engine";
const WINDOWS_KEY: &str = "rewind.windows";

/// Returns the stored windows; none if there are none, or another version stored them.
fn remembered_windows() -> BTreeMap<String, RelativeWindow> {
    let stored = browser::stored(WINDOWS_KEY);
    stored.and_then(|json| model_core::from_json(&json).ok()).unwrap_or_default()
}

/// Identifies an action. The action may change the page until another action begins.
#[derive(Clone, Copy)]
pub struct ActionToken(u32);

/// The reason why an action ends early.
pub enum Interruption {
    /// An error, with a message for the user.
    Failed(String),
    /// Another action began.
    Superseded,
}

impl From<String> for Interruption {
    fn from(message: String) -> Self {
        Interruption::Failed(message)
    }
}

impl Page {
    /// Makes the state of a page without model, scans and result.
    pub fn new() -> Page {
        let stored_budget = browser::stored(BUDGET_KEY);
        Page {
            status: RwSignal::new(Status { phase: Phase::Loading, text: "Starting".into() }),
            notice: RwSignal::new(String::new()),
            gpu_problem: RwSignal::new(None),
            model: RwSignal::new(None),
            offered: RwSignal::new(Vec::new()),
            chosen: RwSignal::new(None),
            slots: RwSignal::new(Vec::new()),
            series: RwSignal::new(Vec::new()),
            study_notes: RwSignal::new(Vec::new()),
            choices: RwSignal::default(),
            preparation: RwSignal::new(None),
            brain_network: RwSignal::new(None),
            comparison: RwSignal::new(Comparison::Off),
            before: RwSignal::new(None),
            tool: RwSignal::new(Tool::Crosshair),
            radius_mm: RwSignal::new(DEFAULT_RADIUS_MM),
            correction_settings: RwSignal::default(),
            corrections: RwSignal::default(),
            measurements: RwSignal::default(),
            saved_region: RwSignal::new(0),
            other: RwSignal::default(),
            sketch: RwSignal::default(),
            painting: RwSignal::default(),
            shows_mask: RwSignal::new(true),
            plan: RwSignal::new(None),
            engine: RwSignal::new(EngineChoice::parse(browser::stored(ENGINE_KEY).as_deref())),
            engines: RwSignal::new(String::new()),
            budget_mib: RwSignal::new(budget::parse_stored(stored_budget.as_deref())),
            progress: RwSignal::new(None),
            is_canceling: RwSignal::new(false),
            result: RwSignal::new(None),
            probabilities: RwSignal::new(None),
            is_outlined: RwSignal::new(false),
            is_from_link: RwSignal::new(false),
            visible_regions: RwSignal::new(Vec::new()),
            run_summary: RwSignal::new(String::new()),
            fallbacks: RwSignal::new(String::new()),
            share_link: RwSignal::new(String::new()),
            shown_slot: RwSignal::new(0),
            crosshair: RwSignal::new([0; 3]),
            windows: RwSignal::new(Vec::new()),
            remembered_windows: RwSignal::new(remembered_windows()),
            colormap: RwSignal::default(),
            opacity: RwSignal::new(0.45),
            convention: RwSignal::new(Convention::Radiological),
            zooms: RwSignal::default(),
            enlarged: RwSignal::new(None),
            shapes: Shapes::new(),
            hides_overlay: RwSignal::new(false),
            shows_mosaic: RwSignal::new(false),
            shows_voxels: RwSignal::new(false),
            pointed: RwSignal::new(None),
            shows_keys: RwSignal::new(false),
            num_actions: RwSignal::new(0),
        }
    }

    /// Returns the inputs of a run, once a model is open and the channels are prepared.
    pub fn run_inputs(self) -> Option<RunInputs> {
        let model = self.model.with_untracked(|model| model.as_ref().map(|model| model.id()))?;
        let channels = self
            .preparation
            .with_untracked(|preparation| preparation.as_ref().map(Preparation::run_channels));
        Some(RunInputs { model, channels: channels? })
    }

    /// Returns the names of the channels.
    pub fn channel_names(self) -> Vec<String> {
        self.slots.with_untracked(|slots| slots.iter().map(|slot| slot.name.clone()).collect())
    }

    /// Returns the names of the channels without a scan.
    pub fn missing_channels(self) -> Vec<String> {
        self.slots.with(|slots| {
            let missing = slots.iter().filter(|slot| slot.loaded.is_none());
            missing.map(|slot| slot.name.clone()).collect()
        })
    }

    /// Returns whether the model was trained to tolerate missing channels, and some are missing.
    pub fn tolerates_missing(self) -> bool {
        let tolerates = self.model.with(|model| {
            model.as_ref().is_some_and(|model| model.card.provenance.channel_dropout > 0.0)
        });
        let num_channels = self.slots.with(Vec::len);
        tolerates && (1..num_channels).contains(&self.missing_channels().len())
    }

    /// Returns whether every channel has its scan, or the user accepted that some are missing.
    pub fn has_needed_channels(self) -> bool {
        untrack(|| {
            let accepts = self.choices.with(|choices| choices.accepts_missing);
            let num_missing = self.missing_channels().len();
            let num_channels = self.slots.with(Vec::len);
            num_channels > 0 && (num_missing == 0 || accepts && self.tolerates_missing())
        })
    }

    /// Sets the engine, and stores it in the browser.
    pub fn set_engine(self, engine: EngineChoice) {
        self.engine.set(engine);
        browser::store(ENGINE_KEY, engine.name());
    }

    /// Returns the reason why the chosen engine cannot run, with a remedy.
    pub fn engine_problem(self) -> Option<&'static str> {
        self.gpu_problem.get().filter(|_| self.engine.get() == EngineChoice::Gpu)
    }

    /// Remembers the window of a channel for the next scan, or forgets it.
    pub fn remember_window(self, channel: &str, window: Option<RelativeWindow>) {
        self.remembered_windows.update(|windows| {
            match window {
                Some(window) => windows.insert(channel.to_string(), window),
                None => windows.remove(channel),
            };
            let json = serde_json::to_string(windows).unwrap_or_default();
            browser::store(WINDOWS_KEY, &json);
        });
    }

    /// Sets the memory budget, and stores it in the browser.
    pub fn set_budget(self, mib: u64) {
        self.budget_mib.set(mib);
        browser::store(BUDGET_KEY, &mib.to_string());
    }

    /// Begins an action. Earlier actions may no longer change the page.
    pub fn begin_action(self) -> ActionToken {
        self.num_actions.update_untracked(|number| *number += 1);
        self.current_action()
    }

    /// Returns the token of the current action.
    pub fn current_action(self) -> ActionToken {
        ActionToken(self.num_actions.get_untracked())
    }

    /// Runs an action. Shows its error unless another action began meanwhile.
    pub fn run(
        self,
        token: ActionToken,
        action: impl Future<Output = Result<(), Interruption>> + 'static,
    ) {
        spawn_local(async move {
            if let Err(Interruption::Failed(message)) = action.await
                && self.is_current(token)
            {
                self.show_error(message);
            }
        });
    }

    /// Returns whether no other action has begun since.
    pub fn is_current(self, token: ActionToken) -> bool {
        self.num_actions.get_untracked() == token.0
    }

    /// Errors if another action has begun.
    pub fn check_current(self, token: ActionToken) -> Result<(), Interruption> {
        match self.is_current(token) {
            true => Ok(()),
            false => Err(Interruption::Superseded),
        }
    }

    /// Replaces the slots. A new grid centers the crosshair.
    pub fn set_slots(self, slots: Vec<ChannelSlot>) {
        let frame = |slots: &[ChannelSlot]| {
            let first = slots.iter().find_map(|slot| slot.loaded.as_ref());
            first.map(|loaded| RasFrame::new(loaded.volume.grid()))
        };
        let old = self.slots.get_untracked();
        if let Some(new_frame) = frame(&slots)
            && frame(&old).as_ref() != Some(&new_frame)
        {
            self.crosshair.set(new_frame.center());
            self.zooms.set(Default::default());
            self.sketch.set(Vec::new());
        }
        let id = |slot: Option<&ChannelSlot>| slot?.loaded.as_ref().map(LoadedChannel::id);
        self.windows.update(|windows| {
            windows.resize(slots.len(), None);
            for (n, window) in windows.iter_mut().enumerate() {
                *window = window.filter(|_| id(old.get(n)) == id(slots.get(n)));
            }
        });
        self.plan.set(None);
        self.preparation.set(None);
        self.slots.set(slots);
    }

    /// Replaces all slots by empty ones, and clears the result and the plan.
    pub fn reset_slots(self, names: Vec<String>) {
        self.clear_result();
        self.windows.set(vec![None; names.len()]);
        self.shown_slot.set(0);
        self.plan.set(None);
        self.preparation.set(None);
        self.series.set(Vec::new());
        self.study_notes.set(Vec::new());
        self.choices.set(PreparationChoices::default());
        self.before.set(None);
        self.choose_tool(Tool::Crosshair);
        self.measurements.set(Vec::new());
        self.painting.set(MaskPainting::default());
        self.comparison.set(Comparison::Off);
        self.slots.set(names.into_iter().map(|name| ChannelSlot { name, loaded: None }).collect());
    }

    /// Shows an open model; `chosen` is its index among those that the server offers.
    pub fn show_model(self, model: Model, chosen: Option<usize>) {
        self.reset_slots(model.card.task.channels.clone());
        self.chosen.set(chosen);
        self.model.set(Some(model.into()));
    }

    /// Clears the result, and the share link in the address.
    pub fn clear_result(self) {
        self.result.set(None);
        self.reset_corrections();
        self.other.set(None);
        self.probabilities.set(None);
        self.visible_regions.set(Vec::new());
        self.share_link.set(String::new());
        self.run_summary.set(String::new());
        self.fallbacks.set(String::new());
        let (address, fragment) = browser::address();
        if !self.is_from_link.get_untracked() && !fragment.is_empty() {
            browser::set_address(&address);
        }
    }
}
