//! Whether predicted probabilities are frequencies: the expected calibration error, and the
//! temperature that reduces it (Guo et al. 2017, "On calibration of modern neural networks").

use serde::{Deserialize, Serialize};

/// Bins of a reliability diagram.
pub const RELIABILITY_BINS: usize = 15;

/// Largest absolute log-odds that are told apart. σ(12) is within 1e-5 of 1.
const RANGE: f64 = 12.0;

/// Bins of log-odds, a tenth wide.
const BINS: usize = 240;

/// Voxels around a region that are counted, beyond its bounding box. Farther voxels of background are
/// easy, and would hide every error.
pub const MARGIN_MM: f64 = 10.0;

/// The range of fitted temperatures.
const TEMPERATURES: [f64; 2] = [0.2, 10.0];

/// Voxels of a region by the log-odds that a network gave them: how many belong to the region, and
/// how many do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OddsCounts {
    /// Voxels outside and inside of the region, for each bin.
    bins: Vec<[u64; 2]>,
}

/// One bar of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReliabilityBin {
    /// Number of voxels.
    pub voxels: u64,
    /// Their mean probability.
    pub probability: f64,
    /// The fraction of them that belongs to the region.
    pub frequency: f64,
}

impl Default for OddsCounts {
    fn default() -> Self {
        OddsCounts { bins: vec![[0; 2]; BINS] }
    }
}

impl OddsCounts {
    /// Counts a voxel.
    pub fn count(&mut self, probability: f32, is_inside: bool) {
        let bin = (log_odds(f64::from(probability)) + RANGE) / (2.0 * RANGE) * BINS as f64;
        self.bins[(bin as usize).min(BINS - 1)][usize::from(is_inside)] += 1;
    }

    /// Counts the voxels of a case within [`MARGIN_MM`] of the box around the region in the reference
    /// and in the prediction; none if both are empty.
    ///
    /// # Shapes
    /// - probabilities, inside: `[k, j, i]` of `dims` (i, j, k)
    ///
    /// # Panics
    /// Panics if the lengths differ from the shapes.
    pub fn count_case(
        &mut self,
        probabilities: &[f32],
        inside: &[bool],
        dims: [usize; 3],
        spacing_mm: [f64; 3],
    ) {
        let [ni, nj, nk] = dims;
        assert_eq!([probabilities.len(), inside.len()], [ni * nj * nk; 2], "one value a voxel");
        let place = |at: usize| [at % ni, at / ni % nj, at / (ni * nj)];
        let mut ends: Option<[[usize; 2]; 3]> = None;
        for at in (0..inside.len()).filter(|&at| inside[at] || probabilities[at] > 0.5) {
            let place = place(at);
            let ends = ends.get_or_insert(place.map(|n| [n, n]));
            for axis in 0..3 {
                let [low, high] = ends[axis];
                ends[axis] = [low.min(place[axis]), high.max(place[axis])];
            }
        }
        let Some(ends) = ends else { return };
        let [i, j, k]: [std::ops::Range<usize>; 3] = std::array::from_fn(|axis| {
            let margin = (MARGIN_MM / spacing_mm[axis]).ceil() as usize;
            let [low, high] = ends[axis];
            low.saturating_sub(margin)..(high + margin + 1).min(dims[axis])
        });
        for row in k.flat_map(|k| j.clone().map(move |j| (k * nj + j) * ni)) {
            for at in i.clone().map(|i| row + i) {
                self.count(probabilities[at], inside[at]);
            }
        }
    }

    /// Adds other counts.
    pub fn merge(&mut self, other: &OddsCounts) {
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            *bin = [bin[0] + more[0], bin[1] + more[1]];
        }
    }

    /// Returns whether the counts are those that this version makes.
    pub fn is_valid(&self) -> bool {
        self.bins.len() == BINS
    }

    /// Returns the number of voxels.
    pub fn voxels(&self) -> u64 {
        self.bins.iter().map(|[outside, inside]| outside + inside).sum()
    }

    /// Returns the bars of a reliability diagram, from probability 0 to 1, after the division of the
    /// log-odds by a temperature.
    pub fn reliability(&self, temperature: f64) -> [ReliabilityBin; RELIABILITY_BINS] {
        let mut bars = [ReliabilityBin::default(); RELIABILITY_BINS];
        for (odds, [outside, inside]) in self.odds() {
            let probability = sigmoid(odds / temperature);
            let at = (probability * RELIABILITY_BINS as f64) as usize;
            let bar = &mut bars[at.min(RELIABILITY_BINS - 1)];
            bar.voxels += outside + inside;
            bar.probability += probability * (outside + inside) as f64;
            bar.frequency += inside as f64;
        }
        for bar in bars.iter_mut().filter(|bar| bar.voxels > 0) {
            bar.probability /= bar.voxels as f64;
            bar.frequency /= bar.voxels as f64;
        }
        bars
    }

    /// Returns the expected calibration error: the mean distance of probability and frequency over
    /// the bars, by voxels. NaN without voxels.
    pub fn error(&self, temperature: f64) -> f64 {
        let bars = self.reliability(temperature);
        let of_bar =
            |bar: &ReliabilityBin| bar.voxels as f64 * (bar.probability - bar.frequency).abs();
        bars.iter().map(of_bar).sum::<f64>() / self.voxels() as f64
    }

    /// Returns the temperature with the largest likelihood, or 1 without voxels.
    pub fn best_temperature(&self) -> f64 {
        if self.voxels() == 0 {
            return 1.0;
        }
        // The likelihood has one maximum along the inverse temperature, and so along its logarithm.
        let [mut low, mut high] = TEMPERATURES.map(f64::ln);
        for _ in 0..60 {
            let third = (high - low) / 3.0;
            let costs = [low + third, high - third].map(|log| self.cost(log.exp()));
            if costs[0] < costs[1] {
                high -= third;
            } else {
                low += third;
            }
        }
        ((low + high) / 2.0).exp()
    }

    /// Returns the negative log-likelihood of all voxels.
    fn cost(&self, temperature: f64) -> f64 {
        let of_bin = |(odds, [outside, inside]): (f64, [u64; 2])| {
            let odds = odds / temperature;
            // −ln σ(x) = ln(1 + e⁻ˣ)
            let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
            outside as f64 * softplus(odds) + inside as f64 * softplus(-odds)
        };
        self.odds().map(of_bin).sum()
    }

    /// Returns the middle log-odds of each bin, with its counts.
    fn odds(&self) -> impl Iterator<Item = (f64, [u64; 2])> + '_ {
        let middle = |bin: usize| (bin as f64 + 0.5) * 2.0 * RANGE / BINS as f64 - RANGE;
        self.bins.iter().enumerate().map(move |(bin, counts)| (middle(bin), *counts))
    }
}

/// How the probabilities of a model's regions were brought to frequencies, and how well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The regions, in the task's order.
    pub regions: Vec<RegionCalibration>,
    /// Number of held-out cases that it was measured on.
    pub cases: usize,
}

/// The calibration of one region.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RegionCalibration {
    /// Divides the log-odds; 1 changes nothing.
    pub temperature: f64,
    /// The expected calibration error before.
    pub error_before: f64,
    /// The expected calibration error with the temperature, on the same cases.
    pub error: f64,
}

/// Largest expected calibration error that needs no temperature.
const GOOD_ERROR: f64 = 0.01;

impl Calibration {
    /// Fits a temperature for every region that is poorly calibrated. Returns `None` if a region was
    /// in no case, so that nothing is known about it.
    pub fn fit(counts: &[OddsCounts], cases: usize) -> Option<Calibration> {
        if counts.iter().any(|counts| counts.voxels() == 0) {
            return None;
        }
        let of_region = |counts: &OddsCounts| {
            let error_before = counts.error(1.0);
            let temperature = counts.best_temperature();
            let error = counts.error(temperature);
            match error_before > GOOD_ERROR && error < error_before {
                true => RegionCalibration { temperature, error_before, error },
                false => RegionCalibration { temperature: 1.0, error_before, error: error_before },
            }
        };
        Some(Calibration { regions: counts.iter().map(of_region).collect(), cases })
    }

    /// Brings the probabilities of a region to frequencies. A half stays a half, so that labels do not
    /// change.
    pub fn apply(&self, region: usize, probabilities: &mut [f32]) {
        let temperature = self.regions[region].temperature;
        if temperature == 1.0 {
            return;
        }
        for p in probabilities {
            *p = sigmoid(log_odds(f64::from(*p)) / temperature) as f32;
        }
    }

    /// Returns whether the numbers are possible, for `num_regions` regions.
    pub fn is_valid(&self, num_regions: usize) -> bool {
        let [low, high] = TEMPERATURES;
        let is_possible = |region: &RegionCalibration| {
            let errors = [region.error, region.error_before];
            (low..=high).contains(&region.temperature)
                && errors.iter().all(|error| (0.0..=1.0).contains(error))
        };
        self.regions.len() == num_regions && self.regions.iter().all(is_possible)
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Returns ln(p / (1 − p)), within the range of the counts. NaN counts as 0.
fn log_odds(p: f64) -> f64 {
    let p = if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) };
    (p / (1.0 - p)).ln().clamp(-RANGE, RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voxels whose frequency is that of log-odds divided by `temperature`.
    fn counts(temperature: f64) -> OddsCounts {
        let mut counts = OddsCounts::default();
        for (bin, odds) in (-59..60).map(|n| n as f64 / 10.0 + 0.05).enumerate() {
            let voxels = 1000 + 10 * bin;
            let inside = (voxels as f64 * sigmoid(odds / temperature)).round() as usize;
            (0..voxels).for_each(|n| counts.count(sigmoid(odds) as f32, n < inside));
        }
        counts
    }

    #[test]
    fn frequencies_are_recognized_and_overconfidence_is_undone() {
        let good = counts(1.0);
        assert!(good.error(1.0) < 0.002, "{}", good.error(1.0));
        assert!((good.best_temperature() - 1.0).abs() < 0.01);
        let confident = counts(2.5);
        assert!(confident.error(1.0) > 0.05, "{}", confident.error(1.0));
        assert!((confident.best_temperature() - 2.5).abs() < 0.02);
        let found = Calibration::fit(&[good, confident], 3).unwrap();
        assert_eq!((found.regions[0].temperature, found.cases), (1.0, 3));
        assert!(found.regions[1].error < 0.002, "{found:?}");
        assert!(found.is_valid(2) && !found.is_valid(3));
        let mut values = [0.0, 0.5, sigmoid(2.5) as f32, 1.0, f32::NAN];
        found.apply(1, &mut values);
        assert!((values[2] - sigmoid(1.0) as f32).abs() < 1e-3, "{values:?}");
        assert_eq!(values[1], 0.5);
        assert!(values[0] < 0.01 && values[3] > 0.99 && values[4] < 0.01);
    }

    /// Ten voxels at 0.9, of which eight are inside, and ten at 0.3, of which three are.
    #[test]
    fn the_error_is_the_mean_distance_from_the_frequency() {
        let mut counts = OddsCounts::default();
        (0..10).for_each(|n| counts.count(0.9, n < 8));
        (0..10).for_each(|n| counts.count(0.3, n < 3));
        assert!((counts.error(1.0) - 0.05).abs() < 0.005, "{}", counts.error(1.0));
        let bar = counts.reliability(1.0)[13];
        assert_eq!((bar.voxels, bar.frequency), (10, 0.8));
        assert_eq!(Calibration::fit(&[counts, OddsCounts::default()], 1), None);
    }

    #[test]
    fn voxels_near_the_region_are_counted() {
        let dims = [30, 4, 1];
        let mut inside = vec![false; 120];
        inside[10] = true;
        let mut probabilities = vec![0.1; 120];
        probabilities[12] = 0.6;
        let mut counts = OddsCounts::default();
        counts.count_case(&probabilities, &inside, dims, [5.0, 20.0, 1.0]);
        // Two voxels to the left, from 8, to two beyond 12, and the next row.
        assert_eq!(counts.voxels(), 7 * 2);
        let before = counts.clone();
        counts.count_case(&[0.1; 120], &[false; 120], dims, [1.0; 3]);
        assert_eq!(counts, before);
        counts.merge(&before);
        assert_eq!(counts.voxels(), 28);
    }
}
