//! Networks on the engine of the page, WGSL kernels on any GPU, in place of burn. What a GPU cannot hold
//! in one manner is run in another: never in windows that were not asked for.

use std::cell::RefCell;
use std::fmt;
use std::ops::ControlFlow;
use std::rc::Rc;

use anyhow::{Result, anyhow, bail};
use model_core::{Bundle, Input, Program, UNetConfig};
use serde::{Deserialize, Serialize};
use shaders::kernels::Storage;
use shaders::{Engine, Error, Output, Plan, Preference, Session, SessionEvent};

use super::fit::{self, Choice, Extent};
use super::settings::{Mode, Settings};
use model_core::texts::bytes as amount;
use trainer_train::estimate::work;

/// Stands with every result of maps in f16.
pub const F16_NOTE: &str = "Maps between operations were stored in f16 to fit the memory: labels may \
     differ from those in f32 at single voxels.";

/// How the engine ran a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// In what maps between operations were stored, f32 or f16; sums are f32 in both.
    pub storage: String,
    /// All that the run allocates on the GPU.
    pub peak_bytes: u64,
    /// Multiply-adds of a pass.
    pub multiply_adds: u64,
    /// Up to how many channels blocks were run without their expanded channels in memory, as is faster on
    /// some GPUs: the same but for rounding.
    #[serde(default)]
    pub max_fused_channels: usize,
    /// Why a larger plan within the memory did not run, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

impl Planned {
    fn of(plan: &Plan, instead: Option<String>) -> Planned {
        let storage = match plan.options.storage {
            Storage::F32 => "f32",
            Storage::F16 => "f16",
        };
        Planned {
            storage: storage.into(),
            peak_bytes: plan.footprint.total_bytes,
            multiply_adds: plan.multiply_adds(),
            max_fused_channels: plan.options.max_fused_channels,
            instead,
        }
    }

    /// Whether maps were rounded to half precision.
    pub fn is_f16(&self) -> bool {
        self.storage == "f16"
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (bytes, work) = (amount(self.peak_bytes), work(self.multiply_adds));
        write!(f, "{work} multiply-adds in {bytes}, maps in {}", self.storage)
    }
}

/// A GPU. It is opened again after the driver has taken it away.
pub struct Gpu {
    session: RefCell<Session>,
    name: String,
    preference: Preference,
}

impl Gpu {
    /// The fastest that there is; a software one where there is no other.
    ///
    /// # Errors
    /// Without a usable GPU.
    pub fn open() -> Result<Gpu, Error> {
        let engine = pollster::block_on(Engine::new())?;
        let name = engine.adapter_name().to_string();
        let preference = pollster::block_on(engine.preference());
        Ok(Gpu { session: RefCell::new(Session::from(engine)), name, preference })
    }

    /// Its name as the driver gives it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A network on a GPU.
pub struct OnGpu {
    gpu: Rc<Gpu>,
    /// None where nothing bounds it.
    most_bytes: Option<u64>,
    /// Of the size that was planned last: windows and flips are all of one.
    current: RefCell<Option<(Plan, Planned)>>,
}

impl OnGpu {
    /// A network that may allocate so much; without a bound what the GPU gives.
    pub fn new(gpu: Rc<Gpu>, most_bytes: Option<u64>) -> OnGpu {
        OnGpu { gpu, most_bytes, current: RefCell::new(None) }
    }

    /// What a model is shown of a scan: all of it, unless windows are asked for.
    ///
    /// # Errors
    /// When no plan is small enough, or a window is asked for and none is known.
    pub fn choose(&self, settings: &Settings, bundle: &Bundle, dims: [usize; 3]) -> Result<Choice> {
        let asked = || "as asked for".to_string();
        let choice = match settings.mode {
            Mode::Sliding => fit::window(settings, bundle, dims, asked())?,
            _ => Choice { extent: Extent::FullVolume, why: asked(), plan: None },
        };
        let shown = match choice.extent {
            Extent::FullVolume => dims,
            Extent::SlidingWindow { window, .. } => window,
        };
        let planned = self.plan(&bundle.card.network, shown).map_err(|error| {
            match (error.downcast_ref(), settings.mode) {
                (Some(Error::Budget { .. }), Mode::Sliding) => {
                    anyhow!("{error}: give a larger --memory or a smaller --window")
                }
                (Some(Error::Budget { .. }), _) => anyhow!(
                    "{error}: give a larger --memory; or --mode sliding, which is another function"
                ),
                _ => error,
            }
        })?;
        let why = match (settings.mode, self.most_bytes) {
            (Mode::Auto, Some(most)) => {
                format!("needs {}, may take {}", amount(planned.peak_bytes), amount(most))
            }
            _ => choice.why,
        };
        Ok(Choice { plan: Some(planned), why, ..choice })
    }

    /// Plans a pass, unless that size is planned already.
    fn plan(&self, network: &UNetConfig, dims: [usize; 3]) -> Result<Planned> {
        let program = Program::new(network, dims)?;
        let mut current = self.current.borrow_mut();
        if let Some((_, planned)) = current.as_ref().filter(|(plan, _)| plan.program == program) {
            return Ok(planned.clone());
        }
        let most_bytes = self.most_bytes.unwrap_or(u64::MAX);
        let plan = Plan::preferring(self.gpu.preference, &program, most_bytes)?;
        let planned = Planned::of(&plan, None);
        *current = Some((plan, planned.clone()));
        Ok(planned)
    }

    /// The last plan: what ran.
    pub fn planned(&self) -> Option<Planned> {
        self.current.borrow().as_ref().map(|(_, planned)| planned.clone())
    }

    /// The logits of all of an input, `[output][k][j][i]`; `tell` hears how far it is.
    ///
    /// # Errors
    /// When no plan is small enough, and what the GPU reports.
    pub fn logits(
        &self,
        bundle: &Bundle,
        input: &Input,
        tell: &mut dyn FnMut(String),
    ) -> Result<Vec<f32>> {
        self.plan(&bundle.card.network, input.dims)?;
        // Planned anew where this run fails.
        let (plan, mut planned) = self.current.borrow_mut().take().expect("just planned");
        tell(format!(", {planned}"));
        let mut on_news = |news: SessionEvent| {
            match news {
                SessionEvent::Opening => {}
                SessionEvent::Fallback { fallback, next } => {
                    planned = Planned::of(next, Some(fallback.to_string()));
                    tell(format!(", {planned}"));
                }
                SessionEvent::Progress(progress) => {
                    let (done, all) = (progress.done_multiply_adds, progress.total_multiply_adds);
                    tell(format!(", {} % of {planned}", 100 * done / all.max(1)));
                }
            }
            ControlFlow::Continue(())
        };
        let mut session = self.gpu.session.borrow_mut();
        let (weights, values) = (&bundle.weights, &input.values);
        let run = session.run(Engine::new, plan, weights, values, &mut on_news);
        let ran = pollster::block_on(run)?;
        *self.current.borrow_mut() = Some((ran.plan, planned));
        match ran.output {
            Output::Logits(logits) => Ok(logits),
            Output::Labels(_) => bail!("expected logits of the network, found labels"),
        }
    }
}
