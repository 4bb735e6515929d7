//! Threads that prepare patches while the device trains.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::BatchShard;
use super::{Batch, Patch, sample};
use crate::cases::Cases;
use trainer_run::config::TrainConfig;

/// Iterates over a rank's batches in the order of their numbers. The batches are the same for any
/// number of threads.
///
/// The patches are prepared one by one, ahead of the training by up to two batches and a patch for
/// each thread. The threads end when this is dropped, and after an error.
pub struct BatchPrefetcher {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// The local numbers of the batches that remain.
    numbers: Range<usize>,
    share: BatchShard,
    waited: Duration,
}

struct Shared {
    state: Mutex<State>,
    /// Signals that a patch is ready or that a thread has ended.
    ready: Condvar,
    /// Signals that another patch may be prepared.
    room: Condvar,
}

/// Patches have local numbers: they count the patches of this rank.
struct State {
    /// The patches that nobody has started to prepare.
    patches: Range<usize>,
    /// The number of patches that were consumed.
    taken: usize,
    /// The largest number of further patches that are prepared.
    ahead: usize,
    /// Prepared patches, by number.
    ready: BTreeMap<usize, Result<Patch>>,
    /// The number of threads that are alive.
    working: usize,
}

/// Starts threads that prepare the batches with these `numbers`.
///
/// `training` holds the numbers of the cases to draw from. [`num_workers`] chooses `workers`.
pub fn batches(
    config: &TrainConfig,
    cases: &Cases,
    training: &[usize],
    numbers: Range<usize>,
    workers: usize,
) -> BatchPrefetcher {
    prefetch_shard(BatchShard::whole(config.batch), config, cases, training, numbers, workers)
}

/// Starts threads that prepare a rank's shard of the batches. `numbers` must cover whole steps.
pub fn prefetch_shard(
    share: BatchShard,
    config: &TrainConfig,
    cases: &Cases,
    training: &[usize],
    numbers: Range<usize>,
    workers: usize,
) -> BatchPrefetcher {
    let (batch, numbers) = (share.patches().len(), share.own(numbers));
    let patches = numbers.start * batch..numbers.end * batch;
    let workers = workers.clamp(1, patches.len().max(1));
    let state = State {
        taken: patches.start,
        patches,
        ahead: 2 * batch + workers,
        ready: BTreeMap::new(),
        working: workers,
    };
    let shared =
        Arc::new(Shared { state: Mutex::new(state), ready: Condvar::new(), room: Condvar::new() });
    let worker = |_| {
        let shared = shared.clone();
        let (config, cases, training) = (config.clone(), cases.clone(), training.to_vec());
        thread::spawn(move || {
            let _working = Working(&shared);
            while let Some(own) = shared.next() {
                let (number, place) = (share.number(own / batch), own % batch);
                let number = number * config.batch + share.patches().start + place;
                shared.give(own, sample(&config, &cases, &training, number));
            }
        })
    };
    BatchPrefetcher {
        workers: (0..workers).map(worker).collect(),
        shared,
        numbers,
        share,
        waited: Duration::ZERO,
    }
}

/// Returns the number of threads that prepare patches: `asked`, or a default if that is 0.
///
/// The default is small when the CPU trains, because training uses all cores itself.
pub fn num_workers(asked: usize, trains_on_cpu: bool) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    match asked {
        0 if trains_on_cpu => (cores / 8).clamp(1, 4),
        0 => cores.saturating_sub(1).clamp(1, 8),
        asked => asked,
    }
}

impl BatchPrefetcher {
    /// Returns the total time that [`BatchPrefetcher::next`] has waited for patches.
    pub fn wait_time(&self) -> Duration {
        self.waited
    }
}

impl Iterator for BatchPrefetcher {
    type Item = Result<Batch>;

    /// Waits for the next batch. Errors name the case.
    fn next(&mut self) -> Option<Result<Batch>> {
        let started = Instant::now();
        let own = self.numbers.next()?;
        let batch = self.share.patches().len();
        let samples = own * batch..(own + 1) * batch;
        let shared = &self.shared;
        let batch =
            Batch::collect(self.share.number(own), samples.map(|sample| shared.take(sample)));
        self.waited += started.elapsed();
        if batch.is_err() {
            self.numbers = 0..0;
            shared.close();
        }
        Some(batch)
    }
}

impl Drop for BatchPrefetcher {
    fn drop(&mut self) {
        self.shared.close();
        for worker in self.workers.drain(..) {
            // A panic of the thread was already printed.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this")
    }

    /// Waits until another patch may be prepared and returns its number, or `None` at the end.
    fn next(&self) -> Option<usize> {
        let mut state = self.state();
        while state.patches.start >= state.taken + state.ahead && !state.patches.is_empty() {
            state = self.room.wait(state).expect("no thread panics while it holds this");
        }
        state.patches.next()
    }

    fn give(&self, number: usize, sample: Result<Patch>) {
        let mut state = self.state();
        if sample.is_err() {
            state.patches.end = state.patches.start;
        }
        state.ready.insert(number, sample);
        self.ready.notify_all();
    }

    /// Waits for a patch and removes it.
    fn take(&self, number: usize) -> Result<Patch> {
        let mut state = self.state();
        loop {
            if let Some(sample) = state.ready.remove(&number) {
                state.taken = number + 1;
                self.room.notify_all();
                return sample;
            }
            if state.working == 0 {
                return Err(anyhow!("the threads that prepare patches have stopped"));
            }
            state = self.ready.wait(state).expect("no thread panics while it holds this");
        }
    }

    fn close(&self) {
        let mut state = self.state();
        state.patches.end = state.patches.start;
        self.room.notify_all();
    }
}

/// Counts a thread as alive until it ends, also by a panic.
struct Working<'a>(&'a Shared);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.state().working -= 1;
        if thread::panicking() {
            // Its patch will never be ready, so the other threads can stop.
            self.0.close();
        }
        self.0.ready.notify_all();
    }
}
