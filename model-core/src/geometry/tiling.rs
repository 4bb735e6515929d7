//! Divides a volume into overlapping tiles and averages their logits with Gaussian weights, for a
//! network whose full input does not fit in memory.

use crate::Input;

/// The weights' standard deviation as a share of the tile, as in nnU-Net (Isensee et al. 2021): a
/// network is least accurate at the borders of its input.
const SIGMA: f64 = 1.0 / 8.0;

/// The default of the least share of a tile that overlaps with the next tile, as in nnU-Net.
pub const DEFAULT_OVERLAP: f64 = 0.5;

/// Tiles of one size over a volume, numbered from 0 along i, then j, then k.
pub struct Tiling {
    dims: [usize; 3],
    tile_dims: [usize; 3],
    /// For each axis, the intervals of the tiles along it.
    axes: [Vec<Interval>; 3],
}

/// A tile along one axis.
struct Interval {
    /// The tile's first voxel.
    start: usize,
    /// The weight of each of its voxels.
    weights: Vec<f32>,
}

impl Tiling {
    /// Returns tiles over a volume of `dims`. Each overlaps with the next by at least the share
    /// `overlap` of its size.
    ///
    /// # Panics
    /// If the tile is empty or larger than the volume, or if `overlap` is not below 1.
    pub fn new(dims: [usize; 3], tile_dims: [usize; 3], overlap: f64) -> Tiling {
        let axes = std::array::from_fn(|a| intervals(dims[a], tile_dims[a], overlap));
        Tiling { dims, tile_dims, axes }
    }

    /// Returns the number of tiles.
    pub fn num_tiles(&self) -> usize {
        self.axes.iter().map(Vec::len).product()
    }

    /// Returns the logits of a volume. `network` computes the logits of one tile. `on_tile` is
    /// called with each tile's number before its computation.
    ///
    /// # Shapes
    /// - input: `[channel][k][j][i]`
    /// - output: `[output][k][j][i]`
    ///
    /// # Errors
    /// The first error of `network`.
    ///
    /// # Panics
    /// If the input's size differs from the volume's.
    pub fn run<E>(
        &self,
        input: &Input,
        num_outputs: usize,
        mut network: impl FnMut(&Input) -> Result<Vec<f32>, E>,
        mut on_tile: impl FnMut(usize),
    ) -> Result<Vec<f32>, E> {
        let mut sum = vec![0.0; num_outputs * self.num_voxels()];
        for number in 0..self.num_tiles() {
            on_tile(number);
            let logits = network(&self.extract(input, number))?;
            self.add_weighted(&logits, number, &mut sum);
        }
        Ok(sum)
    }

    fn num_voxels(&self) -> usize {
        self.dims.iter().product()
    }

    /// Returns a tile's interval along each axis.
    fn intervals(&self, number: usize) -> [&Interval; 3] {
        let [i, j, k] = &self.axes;
        let along_j = number / i.len();
        [&i[number % i.len()], &j[along_j % j.len()], &k[along_j / j.len()]]
    }

    /// Iterates over a tile's rows: the index of each row's first voxel in the volume, and the
    /// row's position along j and k in the tile.
    fn rows(&self, [i, j, k]: [usize; 3]) -> impl Iterator<Item = (usize, [usize; 2])> {
        let ([di, dj, _], [_, tj, tk]) = (self.dims, self.tile_dims);
        let row = move |(n, m)| (i + di * (j + m + dj * (k + n)), [m, n]);
        (0..tk).flat_map(move |n| (0..tj).map(move |m| (n, m))).map(row)
    }

    /// Returns a tile of a volume.
    ///
    /// # Panics
    /// If the volume's size differs from the tiling's, or if there is no tile of this number.
    pub fn extract(&self, input: &Input, number: usize) -> Input {
        assert_eq!(input.dims, self.dims, "the volume that the tiles were made for");
        let start = self.intervals(number).map(|interval| interval.start);
        let mut values =
            Vec::with_capacity(input.channels * self.tile_dims.iter().product::<usize>());
        for channel in input.values.chunks_exact(self.num_voxels()) {
            for (row, _) in self.rows(start) {
                values.extend_from_slice(&channel[row..row + self.tile_dims[0]]);
            }
        }
        Input { channels: input.channels, dims: self.tile_dims, values }
    }

    /// Adds a tile's weighted logits to `sum`. The sum over all tiles is the weighted mean.
    ///
    /// # Shapes
    /// - logits: `[output][k][j][i]` of the tile
    /// - sum: `[output][k][j][i]` of the volume
    ///
    /// # Panics
    /// If there is no tile of this number.
    pub fn add_weighted(&self, logits: &[f32], number: usize, sum: &mut [f32]) {
        let intervals = self.intervals(number);
        let start = intervals.map(|interval| interval.start);
        let weights = intervals.map(|interval| &interval.weights[..]);
        let tile_voxels: usize = self.tile_dims.iter().product();
        let outputs = sum.chunks_exact_mut(self.num_voxels()).zip(logits.chunks_exact(tile_voxels));
        for (sum, logits) in outputs {
            let rows = self.rows(start).zip(logits.chunks_exact(self.tile_dims[0]));
            for ((row, [j, k]), logits) in rows {
                let row_weight = weights[1][j] * weights[2][k];
                let voxels = sum[row..row + logits.len()].iter_mut().zip(logits).zip(weights[0]);
                voxels.for_each(|((sum, logit), weight)| *sum += logit * (weight * row_weight));
            }
        }
    }
}

/// Returns the tiles along an axis. The first and the last touch the axis's ends, the others lie
/// evenly between. The weights of all tiles at a voxel sum to 1, so that the weighted sum is a
/// mean.
fn intervals(size: usize, tile: usize, overlap: f64) -> Vec<Interval> {
    assert!(tile >= 1 && tile <= size && overlap < 1.0, "a tile within the volume");
    let (last_start, step) = ((size - tile) as f64, (tile as f64 * (1.0 - overlap)).max(1.0));
    let num_steps = (last_start / step).ceil() as usize;
    let start = |n: usize| (last_start * n as f64 / num_steps.max(1) as f64).round() as usize;
    let gaussian = |voxel: usize| {
        let distance = voxel as f64 - (tile - 1) as f64 / 2.0;
        (-0.5 * (distance / (SIGMA * tile as f64)).powi(2)).exp()
    };
    let starts: Vec<usize> = (0..=num_steps).map(start).collect();
    let mut total = vec![0.0; size];
    for start in &starts {
        (0..tile).for_each(|voxel| total[start + voxel] += gaussian(voxel));
    }
    let interval = |&start: &usize| {
        let weight = |voxel: usize| (gaussian(voxel) / total[start + voxel]) as f32;
        Interval { start, weights: (0..tile).map(weight).collect() }
    };
    starts.iter().map(interval).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_touch_both_ends_and_overlap_by_the_requested_share() {
        let starts = |size, tile, overlap| -> Vec<usize> {
            intervals(size, tile, overlap).iter().map(|interval| interval.start).collect()
        };
        assert_eq!(starts(32, 32, 0.5), [0]);
        assert_eq!(starts(64, 32, 0.5), [0, 16, 32]);
        assert_eq!(starts(72, 32, 0.5), [0, 13, 27, 40]);
        assert_eq!(starts(64, 32, 0.0), [0, 32]);
        assert_eq!(starts(3, 1, 0.9), [0, 1, 2]);
    }

    #[test]
    fn weights_sum_to_1_at_every_voxel_and_are_largest_in_the_middle() {
        let intervals = intervals(40, 16, 0.5);
        let mut sum = [0.0; 40];
        for Interval { start, weights } in &intervals {
            weights.iter().enumerate().for_each(|(voxel, weight)| sum[start + voxel] += weight);
        }
        assert!(sum.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{sum:?}");
        // There is one tile at the end. In the middle of a tile its neighbors have small weights.
        assert_eq!(intervals[0].weights[0], 1.0);
        let weights = &intervals[1].weights;
        assert!(weights[8] > 0.95 && weights[0] < 0.05, "{weights:?}");
    }

    /// The network's output at a voxel depends on that voxel alone.
    #[test]
    fn a_pointwise_network_has_the_same_result_in_tiles() {
        let dims = [12, 9, 7];
        let num_voxels: usize = dims.iter().product();
        let values = (0..2 * num_voxels).map(|n| (n as f32 * 0.37).sin()).collect();
        let input = Input { channels: 2, dims, values };
        let network = |input: &Input| -> Vec<f32> {
            let (a, b) = input.values.split_at(input.values.len() / 2);
            a.iter().zip(b).map(|(a, b)| a - 3.0 * b).collect()
        };
        let tiling = Tiling::new(dims, [4, 4, 7], 0.5);
        let mut numbers = Vec::new();
        let logits = |input: &Input| Ok::<_, ()>(network(input));
        let found = tiling.run(&input, 1, logits, |number| numbers.push(number)).unwrap();
        assert_eq!(numbers, (0..tiling.num_tiles()).collect::<Vec<_>>());
        assert_eq!(numbers.len(), 5 * 4);
        let expected = network(&input);
        let differs = |(a, b): (&f32, &f32)| (a - b).abs();
        let largest = found.iter().zip(&expected).map(differs).fold(0.0, f32::max);
        assert!(largest < 1e-5, "{largest}");
    }
}
