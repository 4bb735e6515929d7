//! Messages, results and progress of long-running functions. Their caller decides where these are
//! shown: a command on the terminal, a test nowhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

use crate::progress;

/// The interval at which the progress of a task is printed if no bar can be drawn.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(15);

/// Shows what a long-running function reports.
pub trait Reporter: Send + Sync {
    /// Shows a line of the results.
    fn result(&self, line: &str);

    /// Shows a message.
    fn message(&self, text: &str);

    /// Starts a task of `num_items` items, or of an unknown number. The task ends when the returned
    /// value is dropped.
    fn start_task(&self, name: &str, num_items: Option<u64>) -> Box<dyn TaskProgress>;
}

/// The progress of a task.
pub trait TaskProgress: Send + Sync {
    /// Counts an item as done.
    fn advance(&self);

    /// Describes the current item.
    fn describe_item(&self, text: &str);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn result(&self, _: &str) {}

    fn message(&self, _: &str) {}

    fn start_task(&self, _: &str, _: Option<u64>) -> Box<dyn TaskProgress> {
        Box::new(Silent)
    }
}

impl TaskProgress for Silent {
    fn advance(&self) {}

    fn describe_item(&self, _: &str) {}
}

/// Prints results to stdout and messages to stderr, and draws a progress bar for each task. Without
/// a terminal it prints lines instead of bars.
#[derive(Debug)]
pub struct Terminal {
    bars: MultiProgress,
}

impl Default for Terminal {
    fn default() -> Terminal {
        let target = match progress::is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        Terminal { bars: MultiProgress::with_draw_target(target) }
    }
}

impl Reporter for Terminal {
    fn result(&self, line: &str) {
        self.bars.suspend(|| println!("{line}"));
    }

    fn message(&self, text: &str) {
        self.bars.suspend(|| progress::say(text));
    }

    fn start_task(&self, name: &str, num_items: Option<u64>) -> Box<dyn TaskProgress> {
        Box::new(TaskBar {
            name: name.to_string(),
            num_items,
            bar: self.bars.add(progress::bar(name, num_items.unwrap_or(0))),
            last_printed: Mutex::new(Instant::now()),
        })
    }
}

/// The progress bar of a task.
struct TaskBar {
    name: String,
    num_items: Option<u64>,
    bar: ProgressBar,
    last_printed: Mutex<Instant>,
}

impl TaskProgress for TaskBar {
    fn advance(&self) {
        if self.num_items.is_none() {
            self.bar.inc_length(1);
        }
        self.bar.inc(1);
        let mut last_printed =
            self.last_printed.lock().expect("no thread panics while it holds this");
        if !progress::is_terminal() && last_printed.elapsed() > PROGRESS_INTERVAL {
            let num_done = self.bar.position();
            progress::say(match self.num_items {
                Some(num_items) => format!("{}: {num_done} of {num_items}", self.name),
                None => format!("{}: {num_done}", self.name),
            });
            *last_printed = Instant::now();
        }
    }

    fn describe_item(&self, text: &str) {
        self.bar.set_message(text.to_string());
    }
}

impl Drop for TaskBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
