//! Retries failed runs: with a smaller plan if memory is short; once on a reopened GPU, with a
//! smaller plan, if the GPU was lost.

use std::fmt;
use std::ops::ControlFlow;

use model_core::Weights;

use crate::{Engine, Error, Output, Plan, Progress};

/// A device that runs plans: an [`Engine`], or a scripted one in tests.
pub trait Gpu {
    /// Returns whether the device cannot run anything anymore.
    fn is_lost(&self) -> bool;

    /// Runs a plan like [`Engine::run`].
    ///
    /// # Errors
    /// The errors of [`Engine::run`].
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

/// Why a run continued with a smaller plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// The GPU had too little memory.
    OutOfMemory {
        /// Bytes that the plan needed.
        needed_bytes: u64,
    },
    /// The GPU was reset or removed, and reopened.
    DeviceLost {
        /// The driver's message.
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

/// Events of a session.
#[derive(Debug, Clone, Copy)]
pub enum SessionEvent<'a> {
    /// The GPU is being opened.
    Opening,
    /// The run starts again with another plan.
    Fallback {
        /// The reason.
        fallback: &'a Fallback,
        /// The next plan.
        next: &'a Plan,
    },
    /// Progress of the run.
    Progress(Progress),
}

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutcome {
    /// Its result.
    pub output: Output,
    /// The plan that succeeded.
    pub plan: Plan,
    /// Earlier failures, in order.
    pub fallbacks: Vec<Fallback>,
}

/// A GPU that is opened on first use and kept for further runs.
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
    /// Creates a session with an open GPU.
    fn from(gpu: G) -> Self {
        Session { gpu: Some(gpu) }
    }
}

impl<G: Gpu> Session<G> {
    /// Returns the GPU, if it is open.
    pub fn gpu(&self) -> Option<&G> {
        self.gpu.as_ref()
    }

    /// Returns the GPU. Opens it with `open` if it is not open or was lost.
    ///
    /// # Errors
    /// The errors of `open`.
    pub async fn opened(
        &mut self,
        mut open: impl AsyncFnMut() -> Result<G, Error>,
    ) -> Result<&G, Error> {
        // A loss between runs says nothing against a plan. The old GPU is dropped first, so that
        // its memory is free.
        let gpu = match self.gpu.take_if(|gpu| !gpu.is_lost()) {
            Some(gpu) => gpu,
            None => {
                self.gpu = None;
                open().await?
            }
        };
        Ok(self.gpu.insert(gpu))
    }

    /// Runs a plan, or the next smaller plan that the GPU has memory for. If the GPU is lost during
    /// the run, it is reopened once and a smaller plan runs, if there is one. `tell` cancels the
    /// run by breaking.
    ///
    /// # Errors
    /// The errors of [`Engine::run`] and `open`: [`Error::OutOfMemory`] if even the smallest plan
    /// does not fit, [`Error::DeviceLost`] if the GPU was lost twice.
    pub async fn run(
        &mut self,
        mut open: impl AsyncFnMut() -> Result<G, Error>,
        mut plan: Plan,
        weights: &Weights,
        input: &[f32],
        tell: &mut dyn FnMut(SessionEvent) -> ControlFlow<()>,
    ) -> Result<RunOutcome, Error> {
        let mut fallbacks = Vec::new();
        loop {
            let telling = async || {
                go_on(tell(SessionEvent::Opening))?;
                open().await
            };
            let gpu = self.opened(telling).await?;
            let mut on_progress = |progress| tell(SessionEvent::Progress(progress));
            let error = match gpu.run(&plan, weights, input, &mut on_progress).await {
                Ok(output) => return Ok(RunOutcome { output, plan, fallbacks }),
                Err(Error::Canceled) => return Err(Error::Canceled),
                Err(error) => error,
            };
            let (fallback, next) = self.after(error, &plan, &fallbacks)?;
            go_on(tell(SessionEvent::Fallback { fallback: &fallback, next: &next }))?;
            fallbacks.push(fallback);
            plan = next;
        }
    }

    /// Returns the next plan after a failure, if there is one. The next attempt reopens a lost GPU.
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
                let fallback = Fallback::DeviceLost { reason: reason.clone() };
                Ok((fallback, smaller.unwrap_or_else(|| plan.clone())))
            }
            _ => {
                self.gpu = None;
                Err(error)
            }
        }
    }
}

fn is_loss(fallback: &Fallback) -> bool {
    matches!(fallback, Fallback::DeviceLost { .. })
}

fn go_on(flow: ControlFlow<()>) -> Result<(), Error> {
    if flow.is_break() { Err(Error::Canceled) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
