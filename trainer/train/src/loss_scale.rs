//! Dynamic loss scaling (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).
//!
//! The smallest f16 number is 6e-8, and a voxel's share of a gradient is easily smaller. The loss is
//! therefore multiplied by a factor, as large as the range of f16 allows, and the gradients are divided
//! by it in f32.
//!
//! A step whose gradient is not finite is skipped and halves the factor. Many good steps double it.
//! bf16 has the range of f32 and needs no factor.

use burn::tensor::{FloatDType, Tensor};
use model_core::nets::Precision;
use serde::{Deserialize, Serialize};

/// The first factor and the number of good steps before it grows, as in PyTorch's `GradScaler`.
const START: f64 = 65536.0;
const GROWTH_STEPS: usize = 2000;
/// The smallest factor: a gradient that leaves the range unscaled needs another remedy.
const MIN_FACTOR: f64 = 1.0;
/// The largest factor, far above the limit of every gradient but zero, so that the factor stays finite.
const MAX_FACTOR: f64 = 16_777_216.0; // 2^24

/// The state of the loss scale, as in checkpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// Steps of the run that were skipped, because their gradient was not finite.
    pub skipped: usize,
    scaling: Option<Scaling>,
}

/// A power of two, so that scaling is exact, and the good steps since its last change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Scaling {
    factor: f64,
    good_steps: usize,
}

impl LossScale {
    /// Returns the state for a run that continues in this precision.
    pub fn resumed(self, precision: Precision) -> LossScale {
        let start = Scaling { factor: START, good_steps: 0 };
        let is_needed = precision.compute == FloatDType::F16;
        LossScale { scaling: is_needed.then(|| self.scaling.unwrap_or(start)), ..self }
    }

    /// Returns whether a run of this many steps can have the state.
    pub fn is_valid(&self, steps: usize) -> bool {
        let is_valid = |s: Scaling| {
            (MIN_FACTOR..=MAX_FACTOR).contains(&s.factor) && s.factor.log2().fract() == 0.0
        };
        self.skipped <= steps && self.scaling.is_none_or(is_valid)
    }

    /// Returns the factor of the loss; `None` for a loss that is not scaled.
    pub fn factor(&self) -> Option<f64> {
        self.scaling.map(|scaling| scaling.factor)
    }

    /// Scales the gradient at which a backward pass starts.
    pub fn seed<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D> {
        match self.factor() {
            Some(factor) => gradient.mul_scalar(factor),
            None => gradient,
        }
    }

    /// Returns whether a step without a finite gradient may be skipped.
    pub fn can_skip(&self) -> bool {
        self.factor().is_some_and(|factor| factor > MIN_FACTOR)
    }

    /// Updates the state after a skipped step.
    pub fn skip(&mut self) {
        self.skipped += 1;
        if let Some(scaling) = &mut self.scaling {
            *scaling = Scaling { factor: (scaling.factor / 2.0).max(MIN_FACTOR), good_steps: 0 };
        }
    }

    /// Updates the state after a step with a finite gradient.
    pub fn keep(&mut self) {
        let Some(scaling) = &mut self.scaling else { return };
        scaling.good_steps += 1;
        if scaling.good_steps == GROWTH_STEPS {
            *scaling = Scaling { factor: (scaling.factor * 2.0).min(MAX_FACTOR), good_steps: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_halved_by_a_skip_and_doubled_after_many_good_steps() {
        let mut scale = LossScale::default().resumed(Precision::mixed(FloatDType::F16));
        assert_eq!(scale.factor(), Some(65536.0));
        (0..1999).for_each(|_| scale.keep());
        scale.skip();
        assert_eq!((scale.factor(), scale.skipped), (Some(32768.0), 1));
        (0..1999).for_each(|_| scale.keep());
        assert_eq!(scale.factor(), Some(32768.0));
        scale.keep();
        assert_eq!(scale.factor(), Some(65536.0));
    }

    #[test]
    fn the_factor_stays_within_its_limits_and_no_step_is_skipped_at_the_lowest() {
        let mut scale = LossScale::default().resumed(Precision::mixed(FloatDType::F16));
        while scale.can_skip() {
            scale.skip();
        }
        assert_eq!((scale.factor(), scale.skipped), (Some(1.0), 16));
        (0..100 * 2000).for_each(|_| scale.keep());
        assert_eq!(scale.factor(), Some(MAX_FACTOR));
        assert!(scale.is_valid(16) && !scale.is_valid(15));
    }

    #[test]
    fn only_f16_is_scaled_and_skipped_steps_stay_counted() {
        let mut scale = LossScale::default().resumed(Precision::mixed(FloatDType::F16));
        scale.skip();
        for precision in [Precision::F32, Precision::mixed(FloatDType::BF16)] {
            let other = scale.resumed(precision);
            assert_eq!((other.factor(), other.skipped, other.can_skip()), (None, 1, false));
        }
    }
}
