//! Validations during training: Dice of the averaged weights, and the bundle of the best.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use model_core::{Bundle, Card, Provenance, Score};
use trainer_run::files;
use trainer_run::run_folder::BEST;

use super::setup::{TrainSetup, measured_split};
use super::trainer::Trainer;
use crate::checkpoint::best;
use crate::parallel::{Command, announce, validate};
use crate::validate::{CaseSet, Validation};

impl Trainer<'_> {
    /// Validates the averaged weights, saves them if they are the best so far, and writes a
    /// checkpoint.
    pub(super) fn validate(&mut self, stop: &AtomicBool) -> Result<()> {
        let Some(validation) = self.measure(stop)? else {
            // Stopped on the way: the checkpoint records that this validation is still due.
            return Ok(());
        };
        let dice = validation.mean();
        let is_best = best(&self.state.validations).is_none_or(|best| dice > best.dice);
        self.state.validations.push((self.state.steps, dice));
        if is_best {
            self.save_best(&validation)?;
        }
        self.log.line(self.describe(&validation, is_best));
        self.append_validation(validation.means())?;
        self.state.validation_is_due = false;
        self.save()
    }

    /// Measures Dice on the measured cases, shared among the ranks; `None` if a rank was stopped.
    fn measure(&self, stop: &AtomicBool) -> Result<Option<Validation>> {
        let TrainSetup { run, data, device, .. } = &self.setup;
        let reducer = &*self.state.learner.reducer;
        announce(reducer, Command::Validate, stop)?;
        let count = data.measured.len();
        let progress = |done: usize| {
            let done = (done * reducer.num_ranks() + 1).min(count);
            self.log.set_message(format!("measuring case {done} of {count}"));
        };
        let set = CaseSet { task: &run.task, cases: &data.cases, numbers: &data.measured };
        validate(reducer, &self.state.learner.average, set, device, stop, progress)
    }

    fn describe(&self, validation: &Validation, is_best: bool) -> String {
        let TrainSetup { run, data, .. } = &self.setup;
        let regions = run.task.regions.iter().zip(validation.means());
        let regions: Vec<String> =
            regions.map(|(region, dice)| format!("{} {dice:.4}", region.name)).collect();
        format!(
            "step {}: Dice {:.4} on {} {} cases ({}){}",
            self.state.steps,
            validation.mean(),
            data.measured.len(),
            measured_split(run),
            regions.join(", "),
            if is_best { ", the best so far" } else { "" }
        )
    }

    /// Writes the bundle of the averaged weights.
    fn save_best(&self, validation: &Validation) -> Result<()> {
        let run = &self.setup.run;
        let held_out: Vec<Score> = match run.held_out.is_empty() {
            true => Vec::new(),
            false => validation.scores(&run.task),
        };
        let card = Card::new(
            &run.data,
            run.task.clone(),
            run.network.for_inference(),
            run.config.preprocess.clone(),
            Provenance {
                code_version: run.code_version.clone(),
                data: run.data.clone(),
                license: run.license.clone(),
                data_fingerprint: run.data_fingerprint.clone(),
                training_cases: run.training.len(),
                steps: self.state.steps,
                patch: Some(run.config.patch),
                channel_dropout: run.config.augment.channel_dropout,
                folds: 0,
                chosen_by_held_out: !held_out.is_empty()
                    && self.schedule.steps > self.schedule.validate_every,
                held_out,
            },
        );
        let bundle =
            Bundle { card: card.shortened(), weights: self.state.learner.average.weights() };
        files::write(&self.setup.out.join(BEST), &bundle.to_bytes()?)
    }
}
