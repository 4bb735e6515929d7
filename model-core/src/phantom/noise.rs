//! Random numbers and smooth random fields that are the same on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The random numbers of one phantom.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut bytes = *b"........ rewind phantom, version";
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Random(ChaCha8Rng::from_seed(bytes))
    }

    /// Draws a uniform number from 0 to below 1, in steps of 2⁻²⁴, which are exact in f32.
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Draws a uniform number from `low` to below `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Draws a whole number below `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// Draws an approximately normal number with mean 0, deviation 1 and range ±3.5, as a sum of four
    /// uniform numbers. A sum needs no logarithm.
    pub fn gaussian(&mut self) -> f32 {
        let bits = self.0.next_u64();
        let sum: u32 = (0..4).map(|n| (bits >> (16 * n) & 0xffff) as u32).sum();
        const MEAN: f32 = 2.0 * 65535.0; // of the sum
        const DEVIATION: f32 = 37836.8; // of the sum: 65536 · √(4/12)
        (sum as f32 - MEAN) / DEVIATION
    }
}

/// A smooth random field over [−1, 1]³ with values within ±1. It interpolates random values on a lattice
/// by cubics that are flat at every lattice point.
pub(super) struct SmoothNoise {
    cells: usize,
    values: Vec<f32>,
}

impl SmoothNoise {
    /// Draws a field with `cells` lattice cells along each axis.
    pub fn draw(cells: usize, random: &mut Random) -> Self {
        let count = (cells + 1) * (cells + 1) * (cells + 1);
        let values = (0..count).map(|_| random.between(-1.0, 1.0)).collect();
        SmoothNoise { cells, values }
    }

    /// Returns the value at a point.
    pub fn at(&self, point: [f32; 3]) -> f32 {
        let cells = point.map(|x| {
            let position = (x + 1.0) * 0.5 * self.cells as f32;
            let cell = (position.max(0.0) as usize).min(self.cells - 1);
            let t = (position - cell as f32).clamp(0.0, 1.0);
            (cell, t * t * (3.0 - 2.0 * t))
        });
        let [(i, u), (j, v), (k, w)] = cells;
        let n = self.cells + 1;
        let value = |i: usize, j: usize, k: usize| self.values[i + n * (j + n * k)];
        let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
        let row = |j, k| mix(value(i, j, k), value(i + 1, j, k), u);
        let slice = |k| mix(row(j, k), row(j + 1, k), v);
        mix(slice(k), slice(k + 1), w)
    }
}
