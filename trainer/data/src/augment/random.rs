//! Draws that several augmentations share.

use rand::{Rng, RngExt};

/// Draws whether an augmentation is applied. One whose amount is 0 never is, and draws nothing.
pub(super) fn bernoulli(random: &mut impl Rng, amount: f64, fraction: f64) -> bool {
    amount > 0.0 && random.random_bool(fraction)
}

/// Draws a number from −1 to 1.
pub(super) fn signed(random: &mut impl Rng) -> f64 {
    2.0 * random.random::<f64>() - 1.0
}
