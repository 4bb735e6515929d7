//! The focal loss: cross-entropy with less weight on voxels that are already classified well.
//!
//! Lin et al. 2017, "Focal Loss for Dense Object Detection", section 3,
//! <https://arxiv.org/abs/1708.02002>:
//!
//! FL(p_t) = −α_t (1 − p_t)^γ ln p_t
//!
//! with p_t the probability of the reference's class. Its derivative by a logit is that of
//! cross-entropy, times α_t (1 − p_t)^(γ − 1) (1 − p_t − γ p_t ln p_t), for softmax as for sigmoid.
//! The paper's γ = 2 is written out below.

/// α, the paper's best value for γ = 2.
const ALPHA: f32 = 0.25;

/// α_t of regions: where the reference is foreground, and elsewhere.
pub(super) const WEIGHTS: [f32; 2] = [ALPHA, 1.0 - ALPHA];

/// The classification of a voxel: by a region, or by its label.
#[derive(Clone, Copy)]
pub(super) struct Classification {
    /// p_t.
    right: f32,
    /// 1 − p_t, computed separately, because the difference loses its digits near p_t = 1.
    wrong: f32,
    /// −ln p_t.
    cross_entropy: f32,
    /// α_t.
    weight: f32,
}

impl Classification {
    /// Classifies a voxel as inside or outside of a region, by a sigmoid.
    pub(super) fn of_region(logit: f32, there: bool) -> Classification {
        let margin = if there { logit } else { -logit };
        let small = (-margin.abs()).exp();
        let (more, less) = (1.0 / (1.0 + small), small / (1.0 + small));
        let (right, wrong) = if margin >= 0.0 { (more, less) } else { (less, more) };
        let cross_entropy = (-margin).max(0.0) + small.ln_1p();
        Classification { right, wrong, cross_entropy, weight: WEIGHTS[usize::from(!there)] }
    }

    /// Classifies a voxel by a softmax over its logits; each comes with whether it is the reference's.
    /// The paper's α is for two classes: here all weights are 1.
    pub(super) fn of_label(outputs: impl Iterator<Item = (f32, bool)> + Clone) -> Classification {
        let most = outputs.clone().map(|(logit, _)| logit).fold(f32::NEG_INFINITY, f32::max);
        let (mut right, mut wrong, mut behind) = (0.0, 0.0, 0.0);
        for (logit, there) in outputs {
            let share = (logit - most).exp();
            if there {
                (right, behind) = (share, most - logit);
            } else {
                wrong += share;
            }
        }
        let total: f32 = right + wrong;
        let (right, wrong) = (right / total, wrong / total);
        // Near 1, p_t has lost the digits of its logarithm.
        let cross_entropy = if wrong < 0.5 { -(-wrong).ln_1p() } else { behind + total.ln() };
        Classification { right, wrong, cross_entropy, weight: 1.0 }
    }

    /// Returns the loss.
    pub(super) fn loss(&self) -> f32 {
        self.weight * self.wrong * self.wrong * self.cross_entropy
    }

    /// Returns the derivative of the loss by the logit of an output with this probability.
    pub(super) fn slope(&self, probability: f32, there: bool) -> f32 {
        let of_cross_entropy = if there { -self.wrong } else { probability };
        let times = self.wrong * (self.wrong + 2.0 * self.right * self.cross_entropy);
        self.weight * times * of_cross_entropy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f64; 11] = [-50.0, -30.0, -9.0, -2.0, -0.5, 0.0, 0.25, 2.0, 9.0, 30.0, 50.0];

    /// α_t (1 − p_t)² (−ln p_t) in f64, where p_t is the sigmoid of the margin.
    fn by_margin(margin: f64, alpha: f64) -> f64 {
        let wrong = 1.0 / (1.0 + margin.exp());
        alpha * wrong * wrong * ((-margin).max(0.0) + (-margin.abs()).exp().ln_1p())
    }

    /// To a few digits of f32, or to the smallest of its numbers.
    fn assert_near(found: f32, expected: f64, what: &str) {
        let difference = (f64::from(found) - expected).abs();
        assert!(difference <= 2e-6 * expected.abs() + 1e-43, "{what}: {found}, {expected}");
    }

    #[test]
    fn loss_and_slope_are_exact_however_sure_the_answer_is() {
        for logit in LOGITS {
            for (there, alpha, sign) in [(true, 0.25, 1.0), (false, 0.75, -1.0)] {
                let numeric = |margin: f64, alpha: f64| {
                    let moved = |by: f64| by_margin(margin + by, alpha);
                    (moved(1e-4) - moved(-1e-4)) / 2e-4
                };
                let answer = Classification::of_region(logit as f32, there);
                let probability = (1.0 / (1.0 + (-logit).exp())) as f32;
                let what = format!("sigmoid, {logit}, {there}");
                assert_near(answer.loss(), by_margin(sign * logit, alpha), &what);
                let slope = answer.slope(probability, there);
                assert_near(slope, sign * numeric(sign * logit, alpha), &what);

                // Two labels of which the first is the reference are a sigmoid of the difference.
                let outputs = [(1.0 + logit as f32, true), (1.0, false)];
                let answer = Classification::of_label(outputs.into_iter());
                let what = format!("softmax, {logit}");
                assert_near(answer.loss(), by_margin(logit, 1.0), &what);
                assert_near(answer.slope(probability, true), numeric(logit, 1.0), &what);
                let other = (1.0 / (1.0 + logit.exp())) as f32;
                assert_near(answer.slope(other, false), -numeric(logit, 1.0), &what);
            }
        }
    }
}
