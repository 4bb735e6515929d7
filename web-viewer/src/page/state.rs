//! What the page knows. Everything shown follows from these signals.

use std::sync::Arc;

use leptos::prelude::*;
use model_core::{Card, Volume};

use super::client::Held;
use crate::budget;
use crate::messages;
use crate::protocol::{Inputs, ModelId, Planned, Progress, Step};
use crate::share::Shared;
use crate::slice::{Colors, Convention, Frame, Window};

/// What the page is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for a model or for scans.
    Idle,
    /// Files are being read.
    Loading,
    /// A run can start.
    Ready,
    /// A run is going on.
    Running,
    /// A result is shown.
    Done,
    /// Something went wrong, and the person should know.
    Error,
}

impl Phase {
    /// As the attribute `data-state` says it.
    pub fn name(self) -> &'static str {
        ["idle", "loading", "ready", "running", "done", "error"][self as usize]
    }

    /// Whether new files must wait.
    pub fn is_busy(self) -> bool {
        matches!(self, Phase::Loading | Phase::Running)
    }
}

/// The page's state in a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Its kind.
    pub phase: Phase,
    /// Its words.
    pub text: String,
}

/// An open model.
#[derive(Debug, Clone)]
pub struct Model {
    /// The worker's copy.
    pub held: Arc<Held>,
    /// What it says of itself.
    pub card: Card,
    /// SHA-256 of its tensors.
    pub hash: String,
}

impl Model {
    /// By what page and worker name it.
    pub fn id(&self) -> ModelId {
        ModelId { number: self.held.number(), hash: self.hash.clone() }
    }
}

/// A place for one channel of a scan.
#[derive(Debug, Clone)]
pub struct Slot {
    /// What belongs there.
    pub name: String,
    /// What has been chosen.
    pub filled: Option<Filled>,
}

/// A chosen channel.
#[derive(Debug, Clone)]
pub struct Filled {
    /// The worker's copy of the file, and which of its channels.
    pub source: (Arc<Held>, usize),
    /// The file's name.
    pub file: String,
    /// The voxels.
    pub volume: Arc<Volume>,
    /// The window that shows them well.
    pub robust: Window,
    /// What a user should know about the file, a sentence each.
    pub warnings: Vec<String>,
}

/// All signals; copied into every part of the page.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Page {
    pub status: RwSignal<Status>,
    /// What happened and may happen again, in words that stay.
    pub notice: RwSignal<String>,
    /// Why no run can be made in this browser, and what to do; nothing where one can.
    pub no_gpu: RwSignal<Option<&'static str>>,
    pub model: RwSignal<Option<Arc<Model>>>,
    pub slots: RwSignal<Vec<Slot>>,
    pub plan: RwSignal<Option<Planned>>,
    /// What a run may take on the GPU.
    pub budget_mib: RwSignal<u64>,
    pub progress: RwSignal<Option<Progress>>,
    /// Whether the run was asked to stop.
    pub is_stopping: RwSignal<bool>,
    pub result: RwSignal<Option<Arc<Shared>>>,
    /// Whether the result came with a link, and waits for its scan or has it.
    pub is_from_link: RwSignal<bool>,
    /// Whether each of the result's regions is shown.
    pub visible: RwSignal<Vec<bool>>,
    /// How the result was made, in a line.
    pub made: RwSignal<String>,
    /// What went wrong before it was made, in words.
    pub setbacks: RwSignal<String>,
    pub link: RwSignal<String>,
    /// Which slot is shown.
    pub channel: RwSignal<usize>,
    /// The crosshair, in RAS order.
    pub cursor: RwSignal<[usize; 3]>,
    pub windows: RwSignal<Vec<Option<Window>>>,
    pub opacity: RwSignal<f32>,
    pub convention: RwSignal<Convention>,
    turn: RwSignal<u32>,
}

/// Where the browser keeps the budget; a tab that is open keeps its own.
const BUDGET_KEY: &str = "rewind.budget_mib";

/// An action's right to change the page, until another action begins.
#[derive(Clone, Copy)]
pub struct ActionToken(u32);

impl Page {
    /// A page that knows nothing yet.
    pub fn new() -> Page {
        Page {
            status: RwSignal::new(Status { phase: Phase::Loading, text: "Starting".into() }),
            notice: RwSignal::new(String::new()),
            no_gpu: RwSignal::new(None),
            model: RwSignal::new(None),
            slots: RwSignal::new(Vec::new()),
            plan: RwSignal::new(None),
            budget_mib: RwSignal::new(budget::remembered(
                super::browser::remembered(BUDGET_KEY).as_deref(),
            )),
            progress: RwSignal::new(None),
            is_stopping: RwSignal::new(false),
            result: RwSignal::new(None),
            is_from_link: RwSignal::new(false),
            visible: RwSignal::new(Vec::new()),
            made: RwSignal::new(String::new()),
            setbacks: RwSignal::new(String::new()),
            link: RwSignal::new(String::new()),
            channel: RwSignal::new(0),
            cursor: RwSignal::new([0; 3]),
            windows: RwSignal::new(Vec::new()),
            opacity: RwSignal::new(0.45),
            convention: RwSignal::new(Convention::Radiological),
            turn: RwSignal::new(0),
        }
    }

    /// What a run is made of, once there are a model and all of its scans.
    pub fn inputs(self) -> Option<Inputs> {
        let model = self.model.with_untracked(|model| model.as_ref().map(|model| model.id()))?;
        let channels = self.slots.with_untracked(|slots| {
            let sources = slots.iter().map(|slot| Some(&slot.filled.as_ref()?.source));
            let channels = sources.map(|source| source.map(|(held, n)| (held.number(), *n)));
            channels.collect::<Option<Vec<_>>>()
        });
        Some(Inputs { model, channels: channels.filter(|channels| !channels.is_empty())? })
    }

    /// Changes what a run may take on the GPU, here and when the page is opened again.
    pub fn set_budget(self, mib: u64) {
        self.budget_mib.set(mib);
        super::browser::remember(BUDGET_KEY, &mib.to_string());
    }

    /// Begins an action; what earlier ones still wait for will change nothing.
    pub fn begin(self) -> ActionToken {
        self.turn.update_untracked(|turn| *turn += 1);
        self.current()
    }

    /// The action that goes on.
    pub fn current(self) -> ActionToken {
        ActionToken(self.turn.get_untracked())
    }

    /// Whether no other action has begun since.
    pub fn is_current(self, turn: ActionToken) -> bool {
        self.turn.get_untracked() == turn.0
    }

    /// Says what the page is doing.
    pub fn say(self, phase: Phase, text: impl Into<String>) {
        self.status.set(Status { phase, text: text.into() });
    }

    /// Says what went wrong.
    pub fn fail(self, text: impl Into<String>) {
        self.progress.set(None);
        self.say(Phase::Error, messages::capitalized(&text.into()));
    }

    /// Goes on after an error.
    pub fn dismiss_error(self) {
        self.say_what_is_next();
    }

    /// Says what can be done next, from what is there.
    pub fn say_what_is_next(self) {
        let has_result = self.result.with_untracked(Option::is_some);
        let missing = self.slots.with_untracked(|slots| {
            let empty = slots.iter().filter(|slot| slot.filled.is_none());
            empty.map(|slot| slot.name.clone()).collect::<Vec<_>>()
        });
        if self.is_from_link.get_untracked() {
            match missing.is_empty() {
                true => self.say(Phase::Done, "The linked result lies on its scan"),
                false => {
                    self.say(Phase::Done, "Result opened from a link: choose its scan to see it")
                }
            }
        } else if has_result {
            self.say(Phase::Done, "Segmentation done");
        } else if let Some(planned) = self.plan.get_untracked() {
            match planned {
                Planned::Fits(_) if self.no_gpu.get_untracked().is_some() => {
                    self.say(Phase::Idle, "This browser cannot run the network");
                }
                Planned::Fits(_) => self.say(Phase::Ready, "Ready to segment"),
                Planned::Exceeds { .. } => {
                    self.say(Phase::Idle, "This scan needs more memory than is allowed");
                }
            }
        } else if self.model.with_untracked(Option::is_none) {
            self.say(Phase::Idle, "Open a model bundle to begin");
        } else {
            self.say(Phase::Idle, format!("Choose {}", missing.join(", ")));
        }
    }

    /// Shows how far a run is.
    pub fn progress(self, progress: Progress) {
        let text = match progress.step {
            _ if self.is_stopping.get_untracked() => "Cancelling".to_string(),
            Step::OpenGpu => "Opening the GPU".to_string(),
            Step::Network => format!("Segmenting: {:.0} %", 100.0 * progress.share),
            Step::PlaceLabels => "Placing the labels on the scan".to_string(),
        };
        self.say(Phase::Running, text);
        self.progress.set(Some(progress));
    }

    /// The channel that is shown, if it is chosen; else the first that is.
    pub fn shown(self) -> Option<Filled> {
        let channel = self.channel.get();
        self.slots.with(|slots| {
            let chosen = slots.get(channel).and_then(|slot| slot.filled.clone());
            chosen.or_else(|| slots.iter().find_map(|slot| slot.filled.clone()))
        })
    }

    /// The window of the shown channel.
    pub fn window(self) -> Option<Window> {
        let shown = self.shown()?;
        let own = self.windows.with(|windows| windows.get(self.channel.get()).copied().flatten());
        Some(own.unwrap_or(shown.robust))
    }

    /// Changes the window of the shown channel.
    pub fn set_window(self, window: Window) {
        let channel = self.channel.get_untracked();
        self.windows.update(|windows| {
            windows.resize(windows.len().max(channel + 1), None);
            windows[channel] = Some(window);
        });
    }

    /// Chooses a slot's content; the first scan brings the crosshair to its middle.
    pub fn fill(self, slot: usize, filled: Filled) {
        let frame = Frame::new(filled.volume.grid());
        let is_new = !self.slots.with_untracked(|slots| {
            let mut others = slots.iter().filter_map(|s| s.filled.as_ref());
            others.any(|other| Frame::new(other.volume.grid()) == frame)
        });
        if is_new {
            self.cursor.set(frame.center());
            self.channel.set(slot);
        }
        self.windows.update(|windows| {
            if let Some(window) = windows.get_mut(slot) {
                *window = None;
            }
        });
        self.slots.update(|slots| slots[slot].filled = Some(filled));
        self.plan.set(None);
    }

    /// Empty slots of these names, and nothing that came from others.
    pub fn set_slots(self, names: Vec<String>) {
        self.drop_result();
        self.windows.set(vec![None; names.len()]);
        self.channel.set(0);
        self.plan.set(None);
        self.slots.set(names.into_iter().map(|name| Slot { name, filled: None }).collect());
    }

    /// Forgets the result, and the address that holds it.
    pub fn drop_result(self) {
        self.result.set(None);
        self.visible.set(Vec::new());
        self.link.set(String::new());
        self.made.set(String::new());
        self.setbacks.set(String::new());
        let (address, fragment) = super::browser::address();
        if !self.is_from_link.get_untracked() && !fragment.is_empty() {
            super::browser::set_address(&address);
        }
    }

    /// Shows a result, all of its regions visible, the crosshair on a voxel of its grid.
    pub fn show_result(self, result: Shared, middle: Option<[usize; 3]>) {
        if let Some(middle) = middle {
            self.cursor.set(Frame::new(result.labels.grid()).place_of(middle));
        }
        self.visible.set(vec![true; result.regions.len()]);
        self.result.set(Some(Arc::new(result)));
    }

    /// The colors of the visible regions' labels.
    pub fn colors(self) -> Colors {
        let visible = self.visible.get();
        self.result.with(|result| {
            let regions = result.iter().flat_map(|result| result.regions.iter());
            let shown = regions.zip(visible).filter(|(_, is_visible)| *is_visible);
            Colors::new(shown.map(|(region, _)| (&region.codes[..], region.color)))
        })
    }
}
