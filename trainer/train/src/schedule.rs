//! The schedule of a run: its length, the learning rate of each step, and its early end.

use trainer_run::config::{Decay, TrainConfig};

/// The lengths of the settings in steps, for a number of training cases.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Steps in all.
    pub steps: usize,
    /// Steps of one pass through the training cases.
    pub epoch_steps: usize,
    /// Steps between validations.
    pub validate_every: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// Steps between rows of the log.
    pub log_every: usize,
    /// Steps between measurements of the drift; `None` if the drift is not measured.
    pub drift_every: Option<usize>,
    highest_rate: f64,
    warm_up: usize,
    decay: Decay,
    milestones: Vec<usize>,
    milestone_factor: f64,
    smooth_over: usize,
    stop_after: Option<usize>,
}

/// The work that is due after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DueWork {
    /// A measurement of the drift, made before the step.
    pub drift: bool,
    /// A row of the log.
    pub row: bool,
    /// A checkpoint.
    pub checkpoint: bool,
    /// A validation.
    pub validation: bool,
}

impl Schedule {
    /// Converts the settings of a run on `num_cases` training cases.
    pub fn new(config: &TrainConfig, num_cases: usize) -> Schedule {
        let patches = num_cases.saturating_mul(config.patches_per_case);
        let epoch_steps = patches.div_ceil(config.batch * config.accumulate).max(1);
        let steps = config.steps.steps(epoch_steps).max(1);
        // An interval is at most the whole run.
        let every =
            |span: trainer_run::config::StepsOrEpochs| span.steps(epoch_steps).clamp(1, steps);
        Schedule {
            steps,
            epoch_steps,
            validate_every: every(config.validate_every),
            checkpoint_every: every(config.checkpoint_every),
            log_every: every(config.log_every),
            drift_every: (!config.drift_every.is_zero()).then(|| every(config.drift_every)),
            highest_rate: config.learning_rate,
            warm_up: config.warm_up.steps(epoch_steps).min(steps / 2),
            decay: config.decay,
            milestones: config.milestones.iter().map(|m| m.steps(epoch_steps)).collect(),
            milestone_factor: config.milestone_factor,
            smooth_over: config.smooth_over.steps(epoch_steps),
            stop_after: config.stop_after.map(|span| span.steps(epoch_steps).max(1)),
        }
    }

    /// Returns the work that is due after a number of steps. The last step makes all of it due.
    pub fn due_after(&self, steps: usize) -> DueWork {
        let is_due = |every: usize| steps.is_multiple_of(every) || steps == self.steps;
        let validation = is_due(self.validate_every);
        let checkpoint = validation || is_due(self.checkpoint_every);
        DueWork {
            drift: self.drift_every.is_some_and(is_due),
            row: checkpoint || is_due(self.log_every),
            checkpoint,
            validation,
        }
    }

    /// Returns the learning rate of a step, counted from 0: a linear rise over the warm-up, then the
    /// decay until the end of the run.
    pub fn learning_rate(&self, step: usize) -> f64 {
        let warm_up = self.warm_up;
        if step < warm_up {
            return self.highest_rate * (step + 1) as f64 / warm_up as f64;
        }
        // From 0 at the end of the warm-up to 1 after the last step.
        let t = ((step - warm_up) as f64 / (self.steps - warm_up) as f64).min(1.0);
        let passed = self.milestones.iter().filter(|milestone| step >= **milestone).count();
        let factor = match self.decay {
            Decay::Polynomial => (1.0 - t).powf(0.9), // the exponent of nnU-Net (Isensee et al. 2021)
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * t).cos()),
            Decay::Steps => self.milestone_factor.powi(passed as i32),
            Decay::Constant => 1.0,
        };
        self.highest_rate * factor
    }

    /// Returns whether the moving average of the validations' Dice has not risen for long enough to
    /// end the run. `validations` are steps and Dice, in order. An average over fewer validations than
    /// its length is the mean of those.
    pub fn is_converged(&self, validations: &[(usize, f64)]) -> bool {
        let Some(stop_after) = self.stop_after else { return false };
        let mut best = (0, f64::NEG_INFINITY);
        for (n, &(steps, dice)) in validations.iter().enumerate() {
            let from = steps.saturating_sub(self.smooth_over);
            let window = validations[..n].iter().rev().take_while(|(at, _)| *at > from);
            let (count, sum) =
                window.fold((1, dice), |(count, sum), (_, dice)| (count + 1, sum + dice));
            let average = sum / f64::from(count);
            if average > best.1 {
                best = (steps, average);
            }
        }
        let last = validations.last().map_or(0, |(steps, _)| *steps);
        last - best.0 >= stop_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::config::StepsOrEpochs;

    fn schedule(config: TrainConfig) -> Schedule {
        Schedule::new(&config, 330)
    }

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        for decay in [Decay::Polynomial, Decay::Cosine] {
            let config = TrainConfig {
                steps: 100.into(),
                warm_up: 10.into(),
                decay,
                ..TrainConfig::default()
            };
            let highest = config.learning_rate;
            let schedule = schedule(config);
            let rates: Vec<f64> = (0..100).map(|step| schedule.learning_rate(step)).collect();
            assert!(rates[..10].is_sorted() && rates[10..].is_sorted_by(|a, b| a >= b));
            assert!((rates[9] - highest).abs() < 1e-12);
            assert!(rates[99] > 0.0 && rates[99] < 0.05 * highest);
        }
    }

    #[test]
    fn a_run_of_one_step_has_a_learning_rate() {
        let config = TrainConfig { steps: 1.into(), ..TrainConfig::default() };
        assert_eq!(schedule(config.clone()).learning_rate(0), config.learning_rate);
    }

    /// Pendse et al. 2020: 330 cases, four at a step, 1e-4 divided by 5 after 250 and 400 epochs.
    #[test]
    fn the_paper_schedule_converts_to_steps() {
        let schedule = schedule(TrainConfig::parse("recipe = \"pendse\"").unwrap());
        assert_eq!((schedule.epoch_steps, schedule.steps), (83, 41_500));
        let rate = |epoch: usize| schedule.learning_rate(epoch * 83);
        assert_eq!((rate(0), rate(249)), (1e-4, 1e-4));
        assert!((rate(250) - 2e-5).abs() < 1e-12 && (rate(399) - 2e-5).abs() < 1e-12);
        assert!((rate(400) - 4e-6).abs() < 1e-12 && (rate(499) - 4e-6).abs() < 1e-12);
    }

    #[test]
    fn training_ends_when_the_average_no_longer_rises() {
        let config = TrainConfig {
            smooth_over: StepsOrEpochs::Steps(20),
            stop_after: Some(StepsOrEpochs::Steps(30)),
            ..TrainConfig::default()
        };
        let schedule = schedule(config);
        let dice = |values: &[f64]| -> Vec<(usize, f64)> {
            values.iter().enumerate().map(|(n, dice)| (10 * (n + 1), *dice)).collect()
        };
        assert!(!schedule.is_converged(&[]));
        assert!(!schedule.is_converged(&dice(&[0.5, 0.6, 0.7, 0.8, 0.9])));
        // A single good validation does not raise an average of two as far as it raises Dice.
        assert!(schedule.is_converged(&dice(&[0.8, 0.8, 0.7, 0.9, 0.7])));
        assert!(!schedule.is_converged(&dice(&[0.8, 0.8, 0.7])));
        assert!(!schedule.is_converged(&dice(&[0.8, 0.8, 0.7, 0.9, 0.8])));
        let endless = Schedule { stop_after: None, ..schedule };
        assert!(!endless.is_converged(&dice(&[0.9, 0.1, 0.1, 0.1, 0.1, 0.1])));
    }
}
