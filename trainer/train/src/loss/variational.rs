//! The loss of a variational branch, which reconstructs the input from the network's bottom.
//!
//! From the paper on the Partially- and Fully-InvRes networks (2022), equations 2, 5 and 6: to the
//! loss of the segmentation are added 0.1 L2 + 0.1 KL, with
//!
//! - L2, the distance of the reconstruction from the input. The paper prints a norm, which would
//!   grow with the patch; it is read as the mean of squares.
//! - KL = (1/N) Σ (μ² + σ² − ln σ² − 1), the divergence of the latent's normal distribution from
//!   the standard one, without its factor ½. The sum is over the latent's units, and N is the
//!   number of the image's voxels, as in Myronenko 2018, <https://arxiv.org/abs/1810.11654>, from
//!   which the branch comes.

use rayon::prelude::*;

use super::CHUNK;

/// The weight of both terms in the loss.
const WEIGHT: f64 = 0.1;

/// Both terms on one batch, and the gradient of their weighted sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// L2: the mean squared error of the reconstruction.
    pub reconstruction: f64,
    /// KL: the divergence of the latent's distribution, averaged over the batch.
    pub divergence: f64,
    /// The gradient of [`Terms::loss`] by the reconstruction.
    pub by_reconstruction: Vec<f32>,
    /// By the latent's mean.
    pub by_mean: Vec<f32>,
    /// By the logarithm of the latent's variance.
    pub by_log_variance: Vec<f32>,
}

impl Terms {
    /// Returns the sum of both weighted terms: 0.1 L2 + 0.1 KL.
    pub fn loss(&self) -> f64 {
        WEIGHT * self.reconstruction + WEIGHT * self.divergence
    }

    /// As the part of a larger batch's terms that a batch is, of which it is this fraction.
    pub fn as_part(mut self, fraction: f64) -> Terms {
        self.reconstruction *= fraction;
        self.divergence *= fraction;
        let Terms { by_reconstruction, by_mean, by_log_variance, .. } = &mut self;
        for gradient in [by_reconstruction, by_mean, by_log_variance] {
            gradient.iter_mut().for_each(|slope| *slope = (f64::from(*slope) * fraction) as f32);
        }
        self
    }
}

/// Both terms of a batch; `num_voxels` is N, the voxels of one channel of one sample.
///
/// A variance beyond f32 makes the divergence infinite, as it makes the gradient.
///
/// # Shapes
/// - `reconstruction`, `input`: `[batch, channel, voxel]`
/// - `mean`, `log_variance`: `[batch, unit]`
/// - gradients: as what they are by
///
/// # Panics
/// When the lengths do not fit.
pub fn terms(
    reconstruction: &[f32],
    input: &[f32],
    mean: &[f32],
    log_variance: &[f32],
    batch: usize,
    num_voxels: usize,
) -> Terms {
    assert_eq!(reconstruction.len(), input.len());
    assert_eq!(input.len() % (batch * num_voxels), 0);
    assert_eq!(mean.len(), log_variance.len());
    assert_eq!(mean.len() % batch, 0);

    let scale = WEIGHT * 2.0 / input.len() as f64;
    let mut by_reconstruction = vec![0.0; input.len()];
    let sums: Vec<f64> = (by_reconstruction.par_chunks_mut(CHUNK))
        .zip(reconstruction.par_chunks(CHUNK).zip(input.par_chunks(CHUNK)))
        .map(|(slopes, (values, goals))| {
            let mut sum = 0.0;
            for (slope, (&value, &goal)) in slopes.iter_mut().zip(values.iter().zip(goals)) {
                let error = f64::from(value) - f64::from(goal);
                sum += error * error;
                *slope = (scale * error) as f32;
            }
            sum
        })
        .collect();

    let each = 1.0 / (batch * num_voxels) as f64;
    // σ² − 1, exact where σ is near 1. In f32 on purpose: in f64 the loss would stay finite where
    // the gradient, which is f32, does not, and nobody would be told.
    let excess: Vec<f64> = log_variance.iter().map(|log| f64::from(log.exp_m1())).collect();
    let term = |((&mean, &log), excess): ((&f32, &f32), &f64)| {
        f64::from(mean) * f64::from(mean) + (excess - f64::from(log))
    };
    let divergence: f64 = mean.iter().zip(log_variance).zip(&excess).map(term).sum();
    Terms {
        // In order, whatever the number of threads.
        reconstruction: sums.iter().sum::<f64>() / input.len() as f64,
        divergence: each * divergence,
        by_reconstruction,
        by_mean: mean.iter().map(|&m| (WEIGHT * each * 2.0 * f64::from(m)) as f32).collect(),
        by_log_variance: excess.iter().map(|e| (WEIGHT * each * e) as f32).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use trainer_run::rng::{RngStream, generator};

    /// Of two samples: two channels of six voxels, reconstructed and given, and five units' means
    /// and logarithms of variances.
    fn branch() -> [Vec<f32>; 4] {
        let mut random = generator(7, RngStream::Patch, 0);
        [24, 24, 10, 10].map(|n| (0..n).map(|_| 4.0 * random.random::<f32>() - 2.0).collect())
    }

    fn of([reconstruction, input, mean, log_variance]: &[Vec<f32>; 4]) -> Terms {
        terms(reconstruction, input, mean, log_variance, 2, 6)
    }

    /// L2 = (1 + 0 + 4 + 1) / 4; KL = (1 + 2 − ln 2 − 1 + 4 + ½ − ln ½ − 1) / 2 by hand.
    #[test]
    fn a_small_case_has_the_known_terms() {
        let ln2 = 2f32.ln();
        let input = [0.0, 2.0, 1.0, 1.0];
        let found = terms(&[1.0, 2.0, -1.0, 0.0], &input, &[1.0, -2.0], &[ln2, -ln2], 1, 2);
        assert_eq!(found.reconstruction, 1.5);
        assert!((found.divergence - 2.75).abs() < 1e-6, "{found:?}");
        assert!((found.loss() - 0.425).abs() < 1e-7, "{found:?}");
    }

    #[test]
    fn a_batch_is_averaged() {
        let [reconstruction, input, mean, log_variance] = branch();
        let once = terms(&reconstruction, &input, &mean, &log_variance, 1, 12);
        let twice = |values: &[f32]| [values, values].concat();
        let twice = [&reconstruction, &input, &mean, &log_variance].map(|values| twice(values));
        let twice = terms(&twice[0], &twice[1], &twice[2], &twice[3], 2, 12);
        assert!((once.reconstruction - twice.reconstruction).abs() < 1e-12);
        assert!((once.divergence - twice.divergence).abs() < 1e-12);
    }

    #[test]
    fn gradients_are_those_of_the_loss() {
        let branch = branch();
        let found = of(&branch);
        let gradients =
            [(0, found.by_reconstruction), (2, found.by_mean), (3, found.by_log_variance)];
        for (which, gradient) in gradients {
            assert_eq!(gradient.len(), branch[which].len());
            for (n, &analytic) in gradient.iter().enumerate() {
                let moved = |by: f32| {
                    let mut branch = branch.clone();
                    branch[which][n] += by;
                    of(&branch).loss()
                };
                let numeric = (moved(0.01) - moved(-0.01)) / 0.02;
                let difference = (numeric - f64::from(analytic)).abs();
                assert!(difference < 2e-6, "{which}, {n}: {numeric} and {analytic}");
            }
        }
    }

    #[test]
    fn a_perfect_reconstruction_from_the_standard_distribution_costs_nothing() {
        let [values, ..] = branch();
        let found = of(&[values.clone(), values, vec![0.0; 10], vec![0.0; 10]]);
        assert_eq!(found.loss(), 0.0);
        let gradients = [found.by_reconstruction, found.by_mean, found.by_log_variance].concat();
        assert!(gradients.iter().all(|&slope| slope == 0.0));
    }

    #[test]
    fn a_gradient_that_is_not_finite_shows_in_the_loss() {
        for log_variance in [-1e30, -100.0, 88.0, 88.7, 89.0, 200.0, 1e30] {
            let mut branch = branch();
            branch[3][4] = log_variance;
            let found = of(&branch);
            let is_finite = found.by_log_variance.iter().all(|slope| slope.is_finite());
            assert_eq!(found.loss().is_finite(), is_finite, "{log_variance}");
            assert_eq!(is_finite, log_variance < 88.72, "{log_variance}");
        }
        for which in 0..4 {
            let mut branch = branch();
            branch[which][3] = f32::NAN;
            assert!(!of(&branch).loss().is_finite(), "{which}");
        }
    }
}
