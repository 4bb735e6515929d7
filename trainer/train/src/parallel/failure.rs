//! The failure of a rank, which ends all others.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use trainer_run::progress;

/// Time that the ranks have to end after one has failed. A step, or a case that is measured, may take
/// minutes on a CPU. A rank that waits for a device that no longer answers would never end.
const END_TIMEOUT: Duration = Duration::from_secs(300);
const END_INTERVAL: Duration = Duration::from_millis(20);

/// The error of a rank that ends the run.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("rank {rank} ({device}): {message}")]
pub struct RankFailed {
    /// Number of the rank.
    pub rank: usize,
    /// Its device and, across processes, its machine.
    pub device: String,
    /// Its error.
    pub message: String,
}

/// The failure that this process has learned of first.
#[derive(Default)]
pub(super) struct FirstFailure(OnceLock<RankFailed>);

impl FirstFailure {
    pub fn get(&self) -> Option<&RankFailed> {
        self.0.get()
    }

    /// Records a failure, unless another one came first.
    pub fn set(&self, failure: RankFailed) {
        let _ = self.0.set(failure);
    }

    /// Returns the failure as an error.
    ///
    /// # Errors
    /// If a rank has failed.
    pub fn check(&self) -> Result<()> {
        self.get().map_or(Ok(()), |failure| Err(failure.clone().into()))
    }

    /// Runs a rank, and records its error or panic.
    ///
    /// # Errors
    /// The first failure.
    pub fn run_rank<T>(
        &self,
        rank: usize,
        device: &str,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let error = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(panic) => anyhow!("panicked: {}", panic_message(&*panic)),
        };
        // The failure of another rank keeps its name.
        let failure = error.downcast().unwrap_or_else(|error| {
            let (device, message) = (device.to_string(), format!("{error:#}"));
            RankFailed { rank, device, message }
        });
        Err(self.0.get_or_init(|| failure).clone().into())
    }

    /// Runs ranks, and ends the process if they do not end after a failure. Nothing else ends a
    /// thread that waits for its device. The last checkpoint of the run is on the disk. Meanwhile
    /// another thread calls `often` every 20 ms.
    pub fn watched<T>(&self, mut often: impl FnMut() + Send, run: impl FnOnce() -> T) -> T {
        let is_over = &AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut failed_at: Option<Instant> = None;
                while !is_over.load(Ordering::Relaxed) {
                    if let Some(failure) = self.get()
                        && failed_at.get_or_insert_with(Instant::now).elapsed() > END_TIMEOUT
                    {
                        progress::say(format!(
                            "Error: {failure}; other ranks do not end; the last checkpoint is kept"
                        ));
                        std::process::exit(1);
                    }
                    often();
                    thread::sleep(END_INTERVAL);
                }
            });
            let outcome = run();
            is_over.store(true, Ordering::Relaxed);
            outcome
        })
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref().map(String::as_str)).unwrap_or("without a message")
}
