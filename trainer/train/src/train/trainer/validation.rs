//! Validations on the way: Dice of the averaged weights, and the bundle of the best.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use model_core::{Bundle, Card, Provenance, Score};

use super::Trainer;
use crate::checkpoint::best;
use crate::parallel::{Command, announce, validate};
use trainer_run::metrics_log::Values;
use trainer_run::run_folder::BEST;
use trainer_run::{files, progress};

impl Trainer<'_> {
    /// Measures the averaged weights, keeps them if they are the best, and writes a checkpoint.
    pub(super) fn validate(&mut self, stop: &AtomicBool) -> Result<()> {
        let count = self.measured.len();
        let bar = self.bar.clone();
        let reducer = &*self.learner.reducer;
        announce(reducer, Command::Validate, stop)?;
        let validation = validate(
            reducer,
            &self.learner.average,
            &self.run.task,
            &self.cases,
            &self.measured,
            &self.device,
            stop,
            |done| {
                let done = (done * reducer.num_ranks() + 1).min(count);
                bar.set_message(format!("measuring case {done} of {count}"));
            },
        )?;
        // Stopped on the way: the checkpoint says that this validation is still due.
        let Some(validation) = validation else { return Ok(()) };
        let dice = validation.mean();
        let is_best = best(&self.validations).is_none_or(|best| dice > best.dice);
        self.validations.push((self.steps, dice));
        if is_best {
            let scores = match self.run.held_out.is_empty() {
                true => Vec::new(),
                false => validation.scores(&self.run.task),
            };
            self.save_best(scores)?;
        }
        let regions = self.run.task.regions.iter().zip(validation.means());
        let regions: Vec<String> =
            regions.map(|(region, dice)| format!("{} {dice:.4}", region.name)).collect();
        let whose = self.whose();
        progress::line(
            &self.bar,
            format!(
                "step {}: Dice {dice:.4} on {count} {whose} cases ({}){}",
                self.steps,
                regions.join(", "),
                if is_best { ", the best so far" } else { "" }
            ),
        );
        self.append(Values::Validation(validation.means()))?;
        self.validation_is_due = false;
        self.save()
    }

    fn save_best(&self, held_out: Vec<Score>) -> Result<()> {
        let run = &self.run;
        let card = Card {
            name: run.data.clone(),
            warning: String::new(),
            task: run.task.clone(),
            network: run.network.for_inference(),
            preprocess: run.config.preprocess.clone(),
            provenance: Provenance {
                code_version: run.code_version.clone(),
                data: run.data.clone(),
                licence: run.licence.clone(),
                data_fingerprint: run.data_fingerprint.clone(),
                training_cases: run.training.len(),
                steps: self.steps,
                patch: Some(run.config.patch),
                chosen_by_held_out: !held_out.is_empty()
                    && self.schedule.steps > self.schedule.validate_every,
                held_out,
            },
        };
        let bundle = Bundle { card: card.shortened(), weights: self.learner.average.weights() };
        files::write(&self.out.join(BEST), &bundle.to_bytes()?)
    }
}
