//! Random draws. The generator of a draw is a pure function of the seed, the purpose and a number, and
//! independent of earlier draws: a resumed run makes the draws of an uninterrupted one.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The purpose of a draw. Each purpose has its own streams.
#[derive(Debug, Clone, Copy)]
pub enum RngStream {
    /// The split into training and held-out cases.
    Split = 0,
    /// The initial weights of one parameter.
    Weights = 1,
    /// The order of the cases in one epoch.
    Order = 2,
    /// Position and augmentation of one patch.
    Patch = 3,
    /// The draw from the variational branch's latent at one step.
    Latent = 4,
}

/// Returns the generator of draw `number` of a purpose.
pub fn generator(seed: u64, purpose: RngStream, number: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(match purpose {
        // The lower streams belong to the other four purposes, whose draws must not change.
        RngStream::Latent => 1 << 63 | number,
        _ => number * 4 + purpose as u64,
    });
    generator
}

/// Returns an endless sequence of standard normal numbers (Box and Muller 1958).
pub fn normal(mut random: ChaCha8Rng) -> impl Iterator<Item = f32> {
    let pair = move || {
        // 1 − u is never 0.
        let radius = (-2.0 * (1.0 - random.random::<f32>()).ln()).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * random.random::<f32>()).sin_cos();
        [radius * sine, radius * cosine]
    };
    std::iter::repeat_with(pair).flatten()
}

/// Returns the numbers below `count` in random order (Fisher and Yates).
pub fn permutation(generator: &mut ChaCha8Rng, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, generator.random_range(0..=last));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_purpose_and_number_only() {
        let draw = |seed, purpose, number| generator(seed, purpose, number).random::<u64>();
        assert_eq!(draw(1, RngStream::Patch, 5), draw(1, RngStream::Patch, 5));
        let other = [
            draw(2, RngStream::Patch, 5),
            draw(1, RngStream::Order, 5),
            draw(1, RngStream::Patch, 6),
            draw(1, RngStream::Latent, 5),
        ];
        assert!(!other.contains(&draw(1, RngStream::Patch, 5)));
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let mut order = permutation(&mut generator(3, RngStream::Order, 0), 50);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
