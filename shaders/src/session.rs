//! Above a run: what a person would do when one fails. Without memory, a smaller plan; without a
//! GPU, a new one and a smaller plan, once.

use std::fmt;
use std::ops::ControlFlow;

use model_core::Weights;

use crate::{Engine, Error, Output, Plan, Progress};

/// What plans are run on: an [`Engine`], or in tests something that fails as told.
pub trait Gpu {
    /// Whether it will never run anything again.
    fn is_lost(&self) -> bool;

    /// As [`Engine::run`].
    ///
    /// # Errors
    /// As [`Engine::run`].
    fn run(
        &self,
        plan: &Plan,
        weights: &Weights,
        input: &[f32],
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> impl Future<Output = Result<Output, Error>>;
}

impl Gpu for Engine {
    fn is_lost(&self) -> bool {
        Engine::is_lost(self)
    }

    async fn run(
        &self,
        plan: &Plan,
        weights: &Weights,
        input: &[f32],
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Output, Error> {
        Engine::run(self, plan, weights, input, on_progress).await
    }
}

/// Why a run went on with a smaller plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// The GPU could not give the memory.
    OutOfMemory {
        /// What the plan needed.
        needed_bytes: u64,
    },
    /// The GPU was reset or taken away, and opened anew.
    DeviceLost {
        /// The driver's words.
        reason: String,
    },
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Fallback::OutOfMemory { needed_bytes } => {
                write!(f, "the GPU had no {} MiB", needed_bytes.div_ceil(1 << 20))
            }
            Fallback::DeviceLost { reason } => {
                write!(f, "the connection to the GPU was lost ({reason}) and opened anew")
            }
        }
    }
}

/// What a session tells while it works.
#[derive(Debug, Clone, Copy)]
pub enum SessionEvent<'a> {
    /// The GPU is being opened.
    Opening,
    /// The run begins again, on another plan.
    Fallback {
        /// Why.
        setback: &'a Fallback,
        /// The plan that is tried next.
        next: &'a Plan,
    },
    /// How far the run is.
    Progress(Progress),
}

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutcome {
    /// Its result.
    pub output: Output,
    /// The plan that it ran on in the end.
    pub plan: Plan,
    /// What went wrong before, in order.
    pub setbacks: Vec<Fallback>,
}

/// A GPU that is opened when it is first needed, and kept for the next run.
#[derive(Debug)]
pub struct Session<G = Engine> {
    gpu: Option<G>,
}

impl<G> Default for Session<G> {
    fn default() -> Self {
        Session { gpu: None }
    }
}

impl<G> From<G> for Session<G> {
    /// With a GPU that is open.
    fn from(gpu: G) -> Self {
        Session { gpu: Some(gpu) }
    }
}

impl<G: Gpu> Session<G> {
    /// The GPU, if one is open.
    pub fn gpu(&self) -> Option<&G> {
        self.gpu.as_ref()
    }

    /// The GPU, opened with `open` unless one is open that is not lost.
    ///
    /// # Errors
    /// Those of `open`.
    pub async fn opened(
        &mut self,
        mut open: impl AsyncFnMut() -> Result<G, Error>,
    ) -> Result<&G, Error> {
        // A GPU that was lost while nothing ran says nothing against a plan; its memory is free before a
        // new one is opened.
        let gpu = match self.gpu.take_if(|gpu| !gpu.is_lost()) {
            Some(gpu) => gpu,
            None => {
                self.gpu = None;
                open().await?
            }
        };
        Ok(self.gpu.insert(gpu))
    }

    /// Runs a plan, or where the GPU has no memory for it the next smaller one that it has memory
    /// for. A GPU that is lost meanwhile is opened anew with `open`, once, and a smaller plan run on
    /// it where there is one. `tell` stops the run by breaking.
    ///
    /// # Errors
    /// As [`Engine::run`] and `open`: [`Error::OutOfMemory`] when there is no memory for the
    /// smallest plan, [`Error::DeviceLost`] when the GPU was lost twice.
    pub async fn run(
        &mut self,
        mut open: impl AsyncFnMut() -> Result<G, Error>,
        mut plan: Plan,
        weights: &Weights,
        input: &[f32],
        tell: &mut dyn FnMut(SessionEvent) -> ControlFlow<()>,
    ) -> Result<RunOutcome, Error> {
        let mut setbacks = Vec::new();
        loop {
            let telling = async || {
                go_on(tell(SessionEvent::Opening))?;
                open().await
            };
            let gpu = self.opened(telling).await?;
            let mut on_progress = |progress| tell(SessionEvent::Progress(progress));
            let error = match gpu.run(&plan, weights, input, &mut on_progress).await {
                Ok(output) => return Ok(RunOutcome { output, plan, setbacks }),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => error,
            };
            let (setback, next) = self.after(error, &plan, &setbacks)?;
            go_on(tell(SessionEvent::Fallback { setback: &setback, next: &next }))?;
            setbacks.push(setback);
            plan = next;
        }
    }

    /// What to do about a failure: the next plan, or nothing. Then the next run opens the GPU anew.
    fn after(
        &mut self,
        error: Error,
        plan: &Plan,
        before: &[Fallback],
    ) -> Result<(Fallback, Plan), Error> {
        let smaller = plan.smaller().ok();
        match (&error, smaller) {
            (&Error::OutOfMemory { needed_bytes, .. }, Some(next)) => {
                Ok((Fallback::OutOfMemory { needed_bytes }, next))
            }
            (Error::DeviceLost(reason), smaller) if !before.iter().any(is_loss) => {
                self.gpu = None;
                let setback = Fallback::DeviceLost { reason: reason.clone() };
                Ok((setback, smaller.unwrap_or_else(|| plan.clone())))
            }
            _ => {
                self.gpu = None;
                Err(error)
            }
        }
    }
}

fn is_loss(setback: &Fallback) -> bool {
    matches!(setback, Fallback::DeviceLost { .. })
}

fn go_on(flow: ControlFlow<()>) -> Result<(), Error> {
    if flow.is_break() { Err(Error::Cancelled) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
