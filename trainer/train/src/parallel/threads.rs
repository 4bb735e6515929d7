//! Ranks as threads of one process: each on its device, the first on the thread that asked.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::host::Barrier;
use super::{RankFailed, Reducer};
use trainer_run::progress;

/// How long the ranks have to end after one has failed: a step, or a case that is measured, may take
/// minutes on a CPU. One that waits for a device that no longer answers never would.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the first rank here and the others on threads of their own until all have ended; `reducers`
/// are theirs, in order.
///
/// # Errors
/// With the rank that failed or panicked first. Where others do not end then, the process does.
pub(super) fn run<T>(
    meeting: &Arc<Barrier>,
    reducers: Vec<Arc<dyn Reducer>>,
    first: impl FnOnce(Arc<dyn Reducer>) -> Result<T>,
    other: impl Fn(Arc<dyn Reducer>) -> Result<()> + Sync,
) -> Result<T> {
    let (meeting, other, over) = (&**meeting, &other, &AtomicBool::new(false));
    let outcome = thread::scope(|scope| {
        let mut reducers = reducers.into_iter();
        let own = reducers.next().expect("at least one rank");
        let ranks: Vec<_> = reducers
            .map(|reducer| scope.spawn(move || guarded(meeting, reducer.rank(), || other(reducer))))
            .collect();
        scope.spawn(move || watch(|| meeting.failure(), over));
        let outcome = guarded(meeting, 0, || first(own));
        for rank in ranks {
            // What it panicked with was caught and kept.
            let _ = rank.join();
        }
        over.store(true, Ordering::Relaxed);
        outcome
    });
    match (meeting.failure(), outcome) {
        (None, Some(outcome)) => Ok(outcome),
        (failure, _) => Err(failure.expect("a rank that has no outcome has failed").into()),
    }
}

/// What a rank gives; none where it failed, which the others are then told.
fn guarded<T>(meeting: &Barrier, rank: usize, run: impl FnOnce() -> Result<T>) -> Option<T> {
    let message = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(error)) => format!("{error:#}"),
        Err(panic) => panic_message(&*panic),
    };
    meeting.fail(rank, message);
    None
}

pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "without a word".into()))
}

/// Ends the process where ranks do not end after one has failed: nothing else ends a thread that
/// waits for its device. The run's last checkpoint is on the disk.
pub(super) fn watch(failure: impl Fn() -> Option<RankFailed>, over: &AtomicBool) {
    let mut failed: Option<(Instant, RankFailed)> = None;
    while !over.load(Ordering::Relaxed) {
        if failed.is_none() {
            failed = failure().map(|failure| (Instant::now(), failure));
        }
        if let Some((since, failure)) = &failed
            && since.elapsed() > PATIENCE
        {
            progress::say(format!(
                "Error: {failure}; other ranks wait for it in vain: the last checkpoint is kept"
            ));
            std::process::exit(1);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
