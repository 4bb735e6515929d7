//! What the page is told during a run.

use js_sys::Date;
use shaders::SessionEvent;

use super::post;
use crate::messages;
use crate::protocol::{Progress, Step, WorkerResponse};

/// As often as a screen is drawn, nearly; a fast GPU has more to tell.
const LEAST_MS_BETWEEN_PROGRESS: f64 = 30.0;

/// Tells the page how far a run is.
pub struct ProgressReporter {
    id: u32,
    /// The window that is being run, and how many there are.
    window: [usize; 2],
    steps: [usize; 2],
    last_ms: f64,
    /// What has gone wrong, in words.
    pub setbacks: Vec<String>,
    /// The bytes of the plan that runs after that.
    next_bytes: u64,
}

impl ProgressReporter {
    /// Answers the question `id`, about a run in so many windows.
    pub fn new(id: u32, num_windows: usize) -> ProgressReporter {
        let (window, steps) = ([0, num_windows], [0, 0]);
        ProgressReporter { id, window, steps, last_ms: 0.0, setbacks: Vec::new(), next_bytes: 0 }
    }

    /// Goes on with a window.
    pub fn begin_window(&mut self, number: usize) {
        self.window[0] = number;
    }

    /// Passes on what a session tells.
    pub fn tell(&mut self, news: SessionEvent) {
        match news {
            SessionEvent::Opening => self.say(Step::OpenGpu, 0.0),
            SessionEvent::Fallback { setback, next } => {
                self.setbacks.push(setback.to_string());
                self.next_bytes = next.footprint.total_bytes;
                self.steps = [0, next.steps.len()];
                self.say(Step::Network, 0.0);
            }
            SessionEvent::Progress(progress) => {
                self.steps = [progress.done_steps, progress.total_steps];
                let total = progress.total_multiply_adds.max(1) as f64;
                if Date::now() - self.last_ms >= LEAST_MS_BETWEEN_PROGRESS {
                    self.say(Step::Network, progress.done_multiply_adds as f64 / total);
                }
            }
        }
    }

    /// Tells the step, with the share of it that is done.
    pub fn say(&mut self, step: Step, share: f64) {
        self.last_ms = Date::now();
        let setbacks = messages::setbacks(&self.setbacks, "Running", self.next_bytes);
        let [window, num_windows] = self.window;
        let share = match step {
            Step::PlaceLabels => 1.0,
            _ => (window as f64 + share) / num_windows as f64,
        };
        let progress = Progress { step, window: self.window, steps: self.steps, share, setbacks };
        post(self.id, &WorkerResponse::Progress(progress), &[]);
    }
}
