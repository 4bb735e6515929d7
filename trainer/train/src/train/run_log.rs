//! The log of a run: the progress bar, metrics.csv and TensorBoard's event files.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;
use trainer_run::events::EventLog;
use trainer_run::metrics::{RecentSteps, Scalars};
use trainer_run::metrics_log::{Clock, History, MetricsLog, Row};
use trainer_run::progress;
use trainer_run::run_folder::Run;

use super::setup::measured_split;
use super::state::TrainState;
use crate::checkpoint::Best;
use crate::drift::Drift;

/// The log of a run, for a person and on the disk.
pub(super) struct RunLog {
    bar: ProgressBar,
    metrics: MetricsLog,
    events: EventLog,
    recent: RecentSteps,
    clock: RunClock,
    regions: Vec<String>,
    /// The name of the measured cases' side of the split.
    measured_split: &'static str,
    /// Whether rows have no time, so that two runs write the same bytes.
    is_deterministic: bool,
}

/// The time since this process began to train.
struct RunClock {
    /// The clock of the run's earlier processes.
    earlier: Clock,
    started: Instant,
    /// Time that the device waited for patches.
    waited: Duration,
    first_step: usize,
    total_steps: usize,
}

impl RunLog {
    /// Opens the files of a run for appending; `total_steps` is the length of the progress bar.
    ///
    /// # Errors
    /// Errors if the files cannot be read or written.
    pub fn open(run: &Run, out: &Path, state: &TrainState, total_steps: usize) -> Result<RunLog> {
        let TrainState { steps, validation_is_due, .. } = *state;
        let regions: Vec<String> = run.task.regions.iter().map(|r| r.name.clone()).collect();
        let is_deterministic = run.config.deterministic;
        let metrics = MetricsLog::open(out, &regions, steps, validation_is_due)?;
        let events = EventLog::open(out, steps, validation_is_due, is_deterministic)?;
        let clock = RunClock {
            earlier: History::read(out)?.clock().unwrap_or(Clock::ZERO),
            started: Instant::now(),
            waited: Duration::ZERO,
            first_step: steps,
            total_steps,
        };
        let bar = progress::bar("training", total_steps as u64);
        bar.set_position(steps as u64);
        Ok(RunLog {
            bar,
            metrics,
            events,
            recent: RecentSteps::default(),
            clock,
            regions,
            measured_split: measured_split(run),
            is_deterministic,
        })
    }

    /// Prints a line above the progress bar.
    pub fn line(&self, text: impl AsRef<str>) {
        progress::line(&self.bar, text);
    }

    /// Replaces the text of the progress bar.
    pub fn set_message(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Removes the progress bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Adds a step to the next row, and moves the progress bar.
    pub fn add_step(
        &mut self,
        steps: usize,
        scalars: Scalars,
        best: Option<Best>,
        waited: Duration,
    ) {
        self.recent.push(scalars);
        self.clock.waited = waited;
        let best = best.map_or(String::new(), |best| {
            format!(", {} Dice {:.3}", self.measured_split, best.dice)
        });
        let left = progress::duration(self.clock.time_left(steps));
        self.bar.set_message(format!("{}{best}, {left} left", self.recent.progress_text()));
        self.bar.set_position(steps as u64);
    }

    /// Returns whether the next row has steps already.
    pub fn has_steps_without_row(&self) -> bool {
        !self.recent.is_empty()
    }

    /// Appends the row of the steps since the last row. Without a terminal, prints it too.
    ///
    /// # Errors
    /// Errors if a file cannot be written.
    pub fn append_training_row(&mut self, steps: usize) -> Result<()> {
        let scalars = self.recent.take_row();
        if !progress::is_terminal() {
            let (text, all) = (scalars.progress_text(), self.clock.total_steps);
            let left = progress::duration(self.clock.time_left(steps));
            self.line(format!("step {steps}/{all}: {text}, {left} left"));
        }
        self.append(Row::training(steps, scalars))
    }

    /// Appends a row to metrics.csv and to the event files.
    ///
    /// # Errors
    /// Errors if a file cannot be written.
    pub fn append(&mut self, row: Row) -> Result<()> {
        let row = row.at((!self.is_deterministic).then(|| self.clock.now()));
        self.events.row(&row, &self.regions)?;
        self.metrics.append(&row)
    }

    /// Appends the drift of each rewound sequence to the event files.
    ///
    /// # Errors
    /// Errors if the file cannot be written.
    pub fn append_drift(&mut self, step: usize, drift: &Drift) -> Result<()> {
        for (number, &value) in drift.by_sequence.iter().enumerate() {
            self.events.scalar(step, &format!("drift/sequence_{}", number + 1), value)?;
        }
        Ok(())
    }

    /// Makes the appended rows survive a loss of power.
    ///
    /// # Errors
    /// Errors if the disk refuses.
    pub fn sync(&self) -> Result<()> {
        self.metrics.sync()?;
        self.events.sync()
    }
}

impl RunClock {
    /// Returns the times of the run so far, over all of its processes.
    fn now(&self) -> Clock {
        let Clock { elapsed_secs, waited_secs } = self.earlier;
        Clock {
            elapsed_secs: elapsed_secs + self.started.elapsed().as_secs_f64(),
            waited_secs: waited_secs.map(|secs| secs + self.waited.as_secs_f64()),
        }
    }

    /// Estimates the time of the remaining steps from the steps of this process.
    fn time_left(&self, steps: usize) -> Duration {
        let done = (steps - self.first_step).max(1) as f64;
        let left = (self.total_steps - steps) as f64;
        self.started.elapsed().mul_f64(left / done)
    }
}
