//! What a run says of its precision: how far rewinding drifts, and which steps were skipped.

use anyhow::Result;

use super::Trainer;
use crate::device;
use crate::drift::Drift;
use crate::step::StepReport;
use trainer_data::patches::Batch;
use trainer_run::config::{Float, Precision, describe};
use trainer_run::progress;

impl Trainer<'_> {
    /// The device, and the precision where it is not f32.
    pub(super) fn where_and_how(&self) -> String {
        let config = &self.run.config;
        let precision = Precision { compute: config.precision, stream: config.stream };
        let device = device::describe(&self.device);
        match precision.compute {
            Float::F32 => device,
            _ => format!("{device}; trained in {}, measured in f32", describe(precision)),
        }
    }

    /// Measures the drift before a step after which it is to be logged, and says whether it is one.
    pub(super) fn watch_drift(&mut self, batch: &Batch) -> Result<bool> {
        let step = self.steps + 1;
        let is_due = |every| step.is_multiple_of(every) || step == self.schedule.steps;
        if !self.schedule.drift_every.is_some_and(is_due) {
            return Ok(false);
        }
        let network = &self.learner.network;
        let Some(drift) = Drift::of(network, batch, self.run.config.patch) else {
            return Ok(false);
        };
        for (number, &by_sequence) in drift.by_sequence.iter().enumerate() {
            self.events.scalar(step, &format!("drift/sequence_{}", number + 1), by_sequence)?;
        }
        if let Some(warning) = drift.warning(network.precision) {
            progress::line(&self.bar, format!("warning: step {step}: {warning}"));
        }
        self.recent.drift = Some(drift.worst().1);
        Ok(true)
    }

    /// Says of a step that it was skipped.
    pub(super) fn tell_skipped(&self, report: &StepReport) {
        let (Some(cases), Some(factor)) = (&report.skipped, self.learner.loss_scale.factor())
        else {
            return;
        };
        let what = if report.report.loss.is_finite() { "gradient" } else { "network's answer" };
        let (step, cases) = (self.steps, cases.join(", "));
        progress::line(
            &self.bar,
            format!(
                "step {step}: skipped, the {what} on patches of {cases} left f16's range; the loss \
                 is scaled by {factor} now"
            ),
        );
    }

    /// The loss's scale and the steps that it skipped, where it is scaled.
    pub(super) fn scaling(&self) -> Option<(f64, usize)> {
        let scale = &self.learner.loss_scale;
        Some((scale.factor()?, scale.skipped))
    }
}
