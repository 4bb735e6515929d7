//! Dynamic loss scaling (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2). In f16
//! nothing is below 6e-8, and a voxel's part of a gradient easily is: so the loss is multiplied by a
//! factor, as large as the range allows, and the gradients, once in f32, are divided by it.
//!
//! The factor finds itself: where a gradient is no longer finite, its step is skipped and the factor
//! halved; after many good steps it is doubled. bf16 has f32's range and needs none.

use burn::tensor::{FloatDType, Tensor};
use model_core::nets::Precision;
use serde::{Deserialize, Serialize};

/// As PyTorch's `GradScaler` starts, and how many good steps it waits.
const START: f64 = 65536.0;
const GROWTH_STEPS: usize = 2000;
/// A gradient that leaves the range unscaled is no matter of scale.
const LEAST: f64 = 1.0;
/// Far above what any gradient but one of zeros allows: the factor stays a number.
const MOST: f64 = 16_777_216.0; // 2^24

/// The scale's state, as checkpoints keep it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// Steps of the run that changed nothing, since their gradient was not finite.
    pub skipped: usize,
    scaling: Option<Scaling>,
}

/// A power of two, so that scaling rounds nothing, and the good steps since it changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Scaling {
    factor: f64,
    good_steps: usize,
}

impl LossScale {
    /// The same for a run that goes on in this precision.
    pub fn resumed(self, precision: Precision) -> LossScale {
        let start = Scaling { factor: START, good_steps: 0 };
        let is_needed = precision.compute == FloatDType::F16;
        LossScale { scaling: is_needed.then(|| self.scaling.unwrap_or(start)), ..self }
    }

    /// Whether it is one that a run of so many steps can have.
    pub fn is_valid(&self, steps: usize) -> bool {
        let is_valid =
            |s: Scaling| (LEAST..=MOST).contains(&s.factor) && s.factor.log2().fract() == 0.0;
        self.skipped <= steps && self.scaling.is_none_or(is_valid)
    }

    /// What the loss is multiplied by; none where it is not scaled.
    pub fn factor(&self) -> Option<f64> {
        self.scaling.map(|scaling| scaling.factor)
    }

    /// The gradient that a backward pass starts from, scaled.
    pub fn seed<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D> {
        match self.factor() {
            Some(factor) => gradient.mul_scalar(factor),
            None => gradient,
        }
    }

    /// Whether a step may be skipped for want of a finite gradient.
    pub fn can_skip(&self) -> bool {
        self.factor().is_some_and(|factor| factor > LEAST)
    }

    /// After a step that was skipped.
    pub fn skip(&mut self) {
        self.skipped += 1;
        if let Some(scaling) = &mut self.scaling {
            *scaling = Scaling { factor: (scaling.factor / 2.0).max(LEAST), good_steps: 0 };
        }
    }

    /// After a step whose gradient was finite.
    pub fn keep(&mut self) {
        let Some(scaling) = &mut self.scaling else { return };
        scaling.good_steps += 1;
        if scaling.good_steps == GROWTH_STEPS {
            *scaling = Scaling { factor: (scaling.factor * 2.0).min(MOST), good_steps: 0 };
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
    fn the_factor_stays_between_its_ends_and_only_then_no_step_is_skipped() {
        let mut scale = LossScale::default().resumed(Precision::mixed(FloatDType::F16));
        while scale.can_skip() {
            scale.skip();
        }
        assert_eq!((scale.factor(), scale.skipped), (Some(1.0), 16));
        (0..100 * 2000).for_each(|_| scale.keep());
        assert_eq!(scale.factor(), Some(MOST));
        assert!(scale.is_valid(16) && !scale.is_valid(15));
    }

    #[test]
    fn only_f16_is_scaled_and_what_was_skipped_is_not_forgotten() {
        let mut scale = LossScale::default().resumed(Precision::mixed(FloatDType::F16));
        scale.skip();
        for precision in [Precision::F32, Precision::mixed(FloatDType::BF16)] {
            let other = scale.resumed(precision);
            assert_eq!((other.factor(), other.skipped, other.can_skip()), (None, 1, false));
        }
    }
}
