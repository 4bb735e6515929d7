//! Random numbers and smooth random fields, exact on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws for one phantom.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut bytes = *b"........ rewind phantom, version";
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Random(ChaCha8Rng::from_seed(bytes))
    }

    /// Uniform from 0 to below 1, in steps of 2⁻²⁴: exact in f32.
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// A whole number below `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// Mean 0, deviation 1, within ±3.5: a sum of four uniform numbers, which needs no logarithm.
    pub fn gaussian(&mut self) -> f32 {
        let bits = self.0.next_u64();
        let sum: u32 = (0..4).map(|n| (bits >> (16 * n) & 0xffff) as u32).sum();
        const HALF: f32 = 2.0 * 65535.0;
        const DEVIATION: f32 = 37836.8; // of the sum: 65536 · √(4/12)
        (sum as f32 - HALF) / DEVIATION
    }
}

/// A smooth random field over [−1, 1]³ with values within ±1: random values on a lattice, and
/// between them a cubic that is flat at every lattice point.
pub(super) struct Smooth {
    cells: usize,
    values: Vec<f32>,
}

impl Smooth {
    /// A field with `cells` lattice cells on each axis.
    pub fn draw(cells: usize, random: &mut Random) -> Self {
        let count = (cells + 1) * (cells + 1) * (cells + 1);
        let values = (0..count).map(|_| random.between(-1.0, 1.0)).collect();
        Smooth { cells, values }
    }

    pub fn at(&self, point: [f32; 3]) -> f32 {
        let places = point.map(|x| {
            let place = (x + 1.0) * 0.5 * self.cells as f32;
            let cell = (place.max(0.0) as usize).min(self.cells - 1);
            let t = (place - cell as f32).clamp(0.0, 1.0);
            (cell, t * t * (3.0 - 2.0 * t))
        });
        let [(i, u), (j, v), (k, w)] = places;
        let n = self.cells + 1;
        let value = |i: usize, j: usize, k: usize| self.values[i + n * (j + n * k)];
        let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
        let row = |j, k| mix(value(i, j, k), value(i + 1, j, k), u);
        let slice = |k| mix(row(j, k), row(j + 1, k), v);
        mix(slice(k), slice(k + 1), w)
    }
}
