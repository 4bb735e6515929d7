//! Checks of settings that a type alone cannot exclude.

use anyhow::{Context, Result, ensure};

use super::group_by::check_group_by;
use super::{Decay, StepsOrEpochs, TrainConfig, precision};

impl TrainConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// If a value is out of its range, with the name of the first such setting.
    pub fn check(&self) -> Result<()> {
        self.check_split()?;
        self.check_lengths()?;
        self.check_rates()?;
        let stream = self.stream.unwrap_or(self.precision);
        precision(self.precision, stream).context("settings")?;
        fraction("foreground_fraction", self.foreground_fraction)?;
        not_negative("memory_gib", self.memory_gib)?;
        let voxels = self.patch.iter().try_fold(self.batch, |product, &p| product.checked_mul(p));
        ensure!(
            voxels.is_some_and(|voxels| voxels <= 1 << 31),
            "settings: expected at most 2^31 voxels a batch, found {} patches of {:?}",
            self.batch,
            self.patch
        );
        ensure!(
            self.workers <= 1024,
            "settings: expected workers up to 1024, found {}",
            self.workers
        );
        self.augment.check()
    }

    fn check_split(&self) -> Result<()> {
        let held_out = self.held_out;
        ensure!(
            (0.0..=0.9).contains(&held_out) || (held_out >= 1.0 && held_out.fract() == 0.0),
            "settings: expected held_out from 0 to 0.9, a fraction, or a whole number of cases, \
             found {held_out}"
        );
        ensure!(self.folds != 1, "settings: expected folds of at least 2, or 0, found 1");
        if let Some(group_by) = &self.group_by {
            check_group_by(group_by).context("settings")?;
        }
        match self.fold {
            Some(fold) => ensure!(
                fold < self.folds,
                "settings: expected a fold below the number of folds, {}, found {fold}; folds are \
                 counted from 0",
                self.folds
            ),
            None => ensure!(
                self.folds == 0,
                "settings: expected fold from 0 to {}, found none",
                self.folds - 1
            ),
        }
        Ok(())
    }

    fn check_lengths(&self) -> Result<()> {
        let counts = [
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("patches_per_case", self.patches_per_case),
        ];
        for (name, count) in counts {
            ensure!(
                (1..=1 << 20).contains(&count),
                "settings: expected {name} from 1 to 2^20, found {count}"
            );
        }
        let spans = [
            ("steps", self.steps),
            ("validate_every", self.validate_every),
            ("checkpoint_every", self.checkpoint_every),
            ("log_every", self.log_every),
            ("stop_after", self.stop_after.unwrap_or(StepsOrEpochs::Steps(1))),
        ];
        for (name, span) in spans {
            ensure!(!span.is_zero(), "settings: expected {name} of at least 1, found 0");
        }
        ensure!(
            self.decay == Decay::Steps || self.milestones.is_empty(),
            "settings: expected milestones with decay = \"steps\" only, found {} of them",
            self.milestones.len()
        );
        Ok(())
    }

    fn check_rates(&self) -> Result<()> {
        ensure!(
            (0.0..1.0).contains(&self.average),
            "settings: expected average from 0 to below 1, found {}",
            self.average
        );
        ensure!(
            self.learning_rate > 0.0 && self.learning_rate < 10.0,
            "settings: expected a learning_rate above 0 and below 10, found {}",
            self.learning_rate
        );
        fraction("milestone_factor", self.milestone_factor)?;
        not_negative("weight_decay", self.weight_decay)?;
        not_negative("clip_norm", self.clip_norm)
    }
}

/// Errors if a value is not from 0 to 1.
pub(super) fn fraction(name: &str, value: f64) -> Result<()> {
    ensure!((0.0..=1.0).contains(&value), "settings: expected {name} from 0 to 1, found {value}");
    Ok(())
}

/// Errors if a value is below 0 or not a number.
pub(super) fn not_negative(name: &str, value: f64) -> Result<()> {
    ensure!(
        value >= 0.0 && value.is_finite(),
        "settings: expected {name} of at least 0, found {value}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_mean_nothing_are_refused() {
        let refused = [
            "steps = 0",
            "held_out = 1.5",
            "learning_rate = nan",
            "batch = 4000000",
            "patch = [2048, 2048, 2048]",
            "folds = 5",
            "folds = 5\nfold = 5",
            "fold = 0",
            "folds = 1\nfold = 0",
            "stop_after = \"0 epochs\"",
            "milestones = [\"1 epoch\"]",
            "stream = \"f16\"",
            "group_by = \"(\"",
            "precision = \"f16\"\nstream = \"bf16\"",
        ];
        for text in refused {
            assert!(TrainConfig::parse(text).unwrap().check().is_err(), "{text}");
        }
        for text in [
            "",
            "held_out = 40",
            "folds = 5\nfold = 4",
            "steps = \"500 epochs\"",
            "drift_every = 0",
        ] {
            TrainConfig::parse(text).unwrap().check().unwrap();
        }
    }
}
