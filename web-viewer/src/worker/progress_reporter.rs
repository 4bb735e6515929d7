//! Reports a run's progress to the page.

use js_sys::Date;
use shaders::SessionEvent;

use super::reply::post;
use crate::messages;
use crate::protocol::{RunProgress, RunStage, WorkerResponse};

/// The least time between two reports, about two frames of a screen. A fast GPU completes more steps.
const MIN_REPORT_INTERVAL_MS: f64 = 30.0;

/// Reports a run's progress to the page.
pub struct ProgressReporter {
    request_id: u32,
    /// The index of the current tile, and the number of tiles.
    tile: [usize; 2],
    steps: [usize; 2],
    last_report_ms: f64,
    /// The fallbacks so far, in words.
    pub fallbacks: Vec<String>,
    /// The memory of the plan after the last fallback.
    plan_bytes: u64,
}

impl ProgressReporter {
    /// Makes a reporter that responds to the request `request_id`, for a run on `num_tiles` tiles.
    pub fn new(request_id: u32, num_tiles: usize) -> ProgressReporter {
        ProgressReporter {
            request_id,
            tile: [0, num_tiles],
            steps: [0, 0],
            last_report_ms: 0.0,
            fallbacks: Vec::new(),
            plan_bytes: 0,
        }
    }

    /// Sets the index of the current tile.
    pub fn begin_tile(&mut self, index: usize) {
        self.tile[0] = index;
    }

    /// Reports an event of the session.
    pub fn report_event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Opening => self.report(RunStage::OpenGpu, 0.0),
            SessionEvent::Fallback { fallback, next } => {
                self.fallbacks.push(fallback.to_string());
                self.plan_bytes = next.footprint.total_bytes;
                self.steps = [0, next.steps.len()];
                self.report(RunStage::Network, 0.0);
            }
            SessionEvent::Progress(progress) => {
                self.steps = [progress.done_steps, progress.total_steps];
                let total = progress.total_multiply_adds.max(1) as f64;
                self.report_fraction(progress.done_multiply_adds as f64 / total);
            }
        }
    }

    /// Notes that the processor takes over with a plan of so many bytes.
    pub fn change_engine(&mut self, reason: String, plan_bytes: u64) {
        self.fallbacks.push(reason);
        (self.plan_bytes, self.steps) = (plan_bytes, [0, 0]);
    }

    /// Reports the completed fraction of the current tile.
    pub fn report_fraction(&mut self, tile_fraction: f64) {
        if Date::now() - self.last_report_ms >= MIN_REPORT_INTERVAL_MS {
            self.report(RunStage::Network, tile_fraction);
        }
    }

    /// Reports a stage and the completed fraction of the current tile.
    pub fn report(&mut self, stage: RunStage, tile_fraction: f64) {
        self.last_report_ms = Date::now();
        let fallbacks = messages::fallbacks(&self.fallbacks, "Running", self.plan_bytes);
        let [tile, num_tiles] = self.tile;
        let fraction = match stage {
            RunStage::PlaceLabels => 1.0,
            _ => (tile as f64 + tile_fraction) / num_tiles as f64,
        };
        let (tile, steps) = (self.tile, self.steps);
        let progress = RunProgress { stage, tile, steps, fraction, fallbacks };
        post(self.request_id, &WorkerResponse::Progress(progress), &[]);
    }
}
