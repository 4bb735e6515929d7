//! Networks on the page's engine: WGSL kernels on any GPU, instead of burn. If the memory is short,
//! the engine uses a smaller plan. It never uses tiles unless they are requested.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;

use anyhow::{Result, anyhow, bail};
use model_core::texts::bytes as format_bytes;
use model_core::{Bundle, Input, Program, UNetConfig};
use shaders::{Engine, Error, Output, Plan, Preference, Session, SessionEvent};

use super::extent::{self, ChosenExtent, Extent};
pub use super::plan_summary::{F16_NOTE, PlanSummary};
use super::settings::{Mode, Settings};

/// A GPU, which is reopened if the driver removes it.
pub struct WgslGpu {
    session: RefCell<Session>,
    name: String,
    preference: Preference,
}

impl WgslGpu {
    /// Opens the fastest GPU, or a software GPU if there is no other.
    ///
    /// # Errors
    /// Errors if there is no usable GPU.
    pub fn open() -> Result<WgslGpu, Error> {
        let engine = pollster::block_on(Engine::new())?;
        let name = engine.adapter_name().to_string();
        let preference = pollster::block_on(engine.preference());
        Ok(WgslGpu { session: RefCell::new(Session::from(engine)), name, preference })
    }

    /// Returns the driver's name of the GPU.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A network on a GPU.
pub struct WgslNetwork {
    gpu: Rc<WgslGpu>,
    /// The largest allocation, or `None` without a limit.
    max_bytes: Option<u64>,
    /// The last plan. Tiles and flips share it, since their sizes are equal.
    plan: RefCell<Option<(Plan, PlanSummary)>>,
}

impl WgslNetwork {
    /// Returns a network that allocates at most `max_bytes`, or what the GPU has.
    pub fn new(gpu: Rc<WgslGpu>, max_bytes: Option<u64>) -> WgslNetwork {
        WgslNetwork { gpu, max_bytes, plan: RefCell::new(None) }
    }

    /// Chooses the extent for a scan: the full volume, unless tiles are requested.
    ///
    /// # Errors
    /// Errors if no plan fits, or if tiles are requested but their size is unknown.
    pub fn choose(
        &self,
        settings: &Settings,
        bundle: &Bundle,
        dims: [usize; 3],
    ) -> Result<ChosenExtent> {
        let reason = "as requested".to_string();
        let chosen = match settings.mode {
            Mode::Tiles => extent::tiles(settings, bundle, dims, reason)?,
            _ => ChosenExtent { extent: Extent::FullVolume, reason, plan: None },
        };
        let seen_dims = match chosen.extent {
            Extent::FullVolume => dims,
            Extent::Tiles { tile_dims, .. } => tile_dims,
        };
        let plan = self.plan(&bundle.card.network, seen_dims).map_err(|error| {
            match (error.downcast_ref(), settings.mode) {
                (Some(Error::Budget { .. }), Mode::Tiles) => {
                    anyhow!("{error}: give a larger --memory or a smaller --tile")
                }
                (Some(Error::Budget { .. }), _) => anyhow!(
                    "{error}: give a larger --memory; or --mode tiles, which is another function"
                ),
                _ => error,
            }
        })?;
        let reason = match (settings.mode, self.max_bytes) {
            (Mode::Auto, Some(max)) => {
                format!("needs {} of {} allowed", format_bytes(plan.peak_bytes), format_bytes(max))
            }
            _ => chosen.reason,
        };
        Ok(ChosenExtent { plan: Some(plan), reason, ..chosen })
    }

    /// Plans a pass, unless the last plan is for the same size.
    fn plan(&self, network: &UNetConfig, dims: [usize; 3]) -> Result<PlanSummary> {
        let program = Program::new(network, dims)?;
        let mut last = self.plan.borrow_mut();
        if let Some((_, summary)) = last.as_ref().filter(|(plan, _)| plan.program == program) {
            return Ok(summary.clone());
        }
        let max_bytes = self.max_bytes.unwrap_or(u64::MAX);
        let plan = Plan::preferring(self.gpu.preference, &program, max_bytes)?;
        let summary = PlanSummary::new(&plan, None);
        *last = Some((plan, summary.clone()));
        Ok(summary)
    }

    /// Returns the last plan. After a run it is the plan that ran.
    pub fn last_plan(&self) -> Option<PlanSummary> {
        self.plan.borrow().as_ref().map(|(_, summary)| summary.clone())
    }

    /// Computes the logits of an input. `on_progress` receives texts about the progress.
    ///
    /// # Shapes
    /// - input: `[channel][k][j][i]`
    /// - output: `[output][k][j][i]`
    ///
    /// # Errors
    /// Errors if no plan fits. The errors of [`Session::run`].
    pub fn logits(
        &self,
        bundle: &Bundle,
        input: &Input,
        on_progress: &mut dyn FnMut(String),
    ) -> Result<Vec<f32>> {
        self.plan(&bundle.card.network, input.dims)?;
        // Taken, so that the next run plans again if this one fails.
        let (plan, mut summary) = self.plan.borrow_mut().take().expect("just planned");
        on_progress(format!(", {summary}"));
        let mut on_event = |event: SessionEvent| {
            match event {
                SessionEvent::Opening => {}
                SessionEvent::Fallback { fallback, next } => {
                    summary = PlanSummary::new(next, Some(fallback.to_string()));
                    on_progress(format!(", {summary}"));
                }
                SessionEvent::Progress(progress) => {
                    let (done, all) = (progress.done_multiply_adds, progress.total_multiply_adds);
                    on_progress(format!(", {} % of {summary}", 100 * done / all.max(1)));
                }
            }
            ControlFlow::Continue(())
        };
        let mut session = self.gpu.session.borrow_mut();
        let (weights, values) = (&bundle.weights, &input.values);
        let run = session.run(Engine::new, plan, weights, values, &mut on_event);
        let outcome = pollster::block_on(run)?;
        *self.plan.borrow_mut() = Some((outcome.plan, summary));
        match outcome.output {
            Output::Logits(logits) => Ok(logits),
            Output::Labels(_) => bail!("expected logits of the network, found labels"),
        }
    }
}
