//! The clock behind model-core's profiler hook.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use model_core::kernels::profiler::{OpKind, ProfiledOp, ProfilerHook, set_hook};

/// Sums the seconds of operations by kind.
///
/// The clock waits for the device before and after every operation, so a step takes longer than
/// without it.
#[derive(Default)]
struct OpClock {
    seconds: Mutex<BTreeMap<OpKind, f64>>,
}

thread_local! {
    /// The start of this thread's operation. The hook reports no nested ones.
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Returns the seconds of the operations that the process ran during `work`, forward and backward,
/// by kind.
pub fn seconds_by_kind<T>(work: impl FnOnce() -> T) -> (T, BTreeMap<OpKind, f64>) {
    let clock = Arc::new(OpClock::default());
    set_hook(Some(clock.clone()));
    let result = work();
    set_hook(None);
    let seconds = mem::take(&mut *clock.seconds());
    (result, seconds)
}

impl OpClock {
    fn seconds(&self) -> MutexGuard<'_, BTreeMap<OpKind, f64>> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProfilerHook for OpClock {
    fn begin(&self, op: &ProfiledOp) {
        // A failure of the device is reported where its results are read.
        let _ = op.device.sync();
        STARTED.set(Some(Instant::now()));
    }

    fn end(&self, op: &ProfiledOp) {
        let _ = op.device.sync();
        if let Some(started) = STARTED.take() {
            *self.seconds().entry(op.kind).or_insert(0.0) += started.elapsed().as_secs_f64();
        }
    }
}
