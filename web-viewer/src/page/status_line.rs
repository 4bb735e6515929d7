//! The status line: what the page does, and what the user can do next.

use leptos::prelude::*;

use super::state::Page;
use super::status::{Phase, Status};
use crate::messages;
use crate::protocol::{PlanOutcome, RunProgress, RunStage};

impl Page {
    /// Sets the status line.
    pub fn set_status(self, phase: Phase, text: impl Into<String>) {
        self.status.set(Status { phase, text: text.into() });
    }

    /// Shows an error.
    pub fn show_error(self, text: impl Into<String>) {
        self.progress.set(None);
        self.set_status(Phase::Error, messages::capitalized(&text.into()));
    }

    /// Sets the status line to the next thing that the user can do.
    pub fn update_status(self) {
        let has_result = self.result.with_untracked(Option::is_some);
        let missing = untrack(|| self.missing_channels());
        let (phase, text) = if self.is_from_link.get_untracked() {
            let text = match missing.is_empty() {
                true => "The linked result is shown on its scan",
                false => "Result opened from a link: choose its scan to see the overlay",
            };
            (Phase::Done, text)
        } else if has_result {
            (Phase::Done, "Segmentation done")
        } else if let Some(outcome) = self.plan.get_untracked() {
            match outcome {
                PlanOutcome::Fits(_) if untrack(|| self.engine_problem()).is_some() => {
                    (Phase::Idle, "This browser cannot run the network on a graphics card")
                }
                PlanOutcome::Fits(_) => (Phase::Ready, "Ready to segment"),
                PlanOutcome::Exceeds { .. } => {
                    (Phase::Idle, "This scan needs more memory than is allowed")
                }
            }
        } else if self.model.with_untracked(Option::is_none) {
            (Phase::Idle, "Open a model bundle to begin")
        } else {
            return self.set_status(Phase::Idle, format!("Choose {}", missing.join(", ")));
        };
        self.set_status(phase, text);
    }

    /// Shows the progress of a run.
    pub fn show_progress(self, progress: RunProgress) {
        let phase = match progress.stage {
            RunStage::PlaceChannels | RunStage::FindBrain => Phase::Loading,
            _ => Phase::Running,
        };
        let text = match progress.stage {
            _ if self.is_canceling.get_untracked() => "Canceling".to_string(),
            RunStage::PlaceChannels => {
                format!("Placing the scans on one grid: {:.0} %", 100.0 * progress.fraction)
            }
            RunStage::FindBrain => {
                format!("Finding the brain: {:.0} %", 100.0 * progress.fraction)
            }
            RunStage::OpenGpu => "Opening the GPU".to_string(),
            RunStage::StartWorkers => "Starting the computation".to_string(),
            RunStage::Network => format!("Segmenting: {:.0} %", 100.0 * progress.fraction),
            RunStage::PlaceLabels => "Placing the labels on the scan".to_string(),
        };
        self.set_status(phase, text);
        self.progress.set(Some(progress));
    }
}
