//! A volume in overlapping windows, whose logits are averaged with Gaussian weights: what a network
//! sees where the full volume does not fit.

use crate::Input;

/// The weights' standard deviation as a share of the window, as in nnU-Net (Isensee et al. 2021):
/// a network knows least about the borders of what it sees.
const SIGMA: f64 = 1.0 / 8.0;

/// The least share of a window that the next one overlaps, where nothing else is asked for; nnU-Net's.
pub const DEFAULT_OVERLAP: f64 = 0.5;

/// Windows of one size over a volume, numbered from 0 along i, then j, then k.
pub struct Tiling {
    dims: [usize; 3],
    window: [usize; 3],
    /// For each axis where its windows start, and their weights along it.
    axes: [Vec<(usize, Vec<f32>)>; 3],
}

impl Tiling {
    /// Windows over a volume of `dims`, each overlapping the next by at least a share of itself.
    ///
    /// # Panics
    /// When the window is empty or larger than the volume, or `overlap` is not below 1.
    pub fn new(dims: [usize; 3], window: [usize; 3], overlap: f64) -> Tiling {
        let axes = std::array::from_fn(|a| axis(dims[a], window[a], overlap));
        Tiling { dims, window, axes }
    }

    /// How many windows there are.
    pub fn num_windows(&self) -> usize {
        self.axes.iter().map(Vec::len).product()
    }

    /// The logits of a volume. `network` gives those of one window, and `tell` is told each
    /// window's number before it.
    ///
    /// # Shapes
    /// - input: `[channel][k][j][i]`
    /// - output: `[output][k][j][i]`
    ///
    /// # Errors
    /// The network's.
    ///
    /// # Panics
    /// When the input has another size.
    pub fn run<E>(
        &self,
        input: &Input,
        num_outputs: usize,
        mut network: impl FnMut(&Input) -> Result<Vec<f32>, E>,
        mut tell: impl FnMut(usize),
    ) -> Result<Vec<f32>, E> {
        let mut sum = vec![0.0; num_outputs * self.num_voxels()];
        for number in 0..self.num_windows() {
            tell(number);
            let logits = network(&self.cut(input, number))?;
            self.add(&logits, number, &mut sum);
        }
        Ok(sum)
    }

    fn num_voxels(&self) -> usize {
        self.dims.iter().product()
    }

    /// A window's place in each axis.
    fn places(&self, number: usize) -> [&(usize, Vec<f32>); 3] {
        let [i, j, k] = &self.axes;
        let along_j = number / i.len();
        [&i[number % i.len()], &j[along_j % j.len()], &k[along_j / j.len()]]
    }

    /// The rows of a window: where each starts in the volume, with its places along j and k.
    fn rows(&self, [i, j, k]: [usize; 3]) -> impl Iterator<Item = (usize, [usize; 2])> {
        let ([di, dj, _], [_, wj, wk]) = (self.dims, self.window);
        let row = move |(n, m)| (i + di * (j + m + dj * (k + n)), [m, n]);
        (0..wk).flat_map(move |n| (0..wj).map(move |m| (n, m))).map(row)
    }

    /// What a window shows of a volume.
    ///
    /// # Panics
    /// When the volume has another size, or there is no window of this number.
    pub fn cut(&self, input: &Input, number: usize) -> Input {
        assert_eq!(input.dims, self.dims, "the volume that the windows were made for");
        let start = self.places(number).map(|(start, _)| *start);
        let mut values = Vec::with_capacity(input.channels * self.window.iter().product::<usize>());
        for channel in input.values.chunks_exact(self.num_voxels()) {
            for (row, _) in self.rows(start) {
                values.extend_from_slice(&channel[row..row + self.window[0]]);
            }
        }
        Input { channels: input.channels, dims: self.window, values }
    }

    /// Adds a window's logits, weighted, to those of the volume: with all windows the mean.
    ///
    /// # Shapes
    /// - logits: `[output][k][j][i]` of the window
    /// - sum: `[output][k][j][i]` of the volume
    ///
    /// # Panics
    /// When there is no window of this number.
    pub fn add(&self, logits: &[f32], number: usize, sum: &mut [f32]) {
        let places = self.places(number);
        let (start, weights) = (places.map(|(start, _)| *start), places.map(|(_, w)| &w[..]));
        let in_window: usize = self.window.iter().product();
        let outputs = sum.chunks_exact_mut(self.num_voxels()).zip(logits.chunks_exact(in_window));
        for (sum, logits) in outputs {
            let rows = self.rows(start).zip(logits.chunks_exact(self.window[0]));
            for ((row, [j, k]), logits) in rows {
                let of_row = weights[1][j] * weights[2][k];
                let voxels = sum[row..row + logits.len()].iter_mut().zip(logits).zip(weights[0]);
                voxels.for_each(|((sum, logit), weight)| *sum += logit * (weight * of_row));
            }
        }
    }
}

/// Windows along an axis: first and last touch its ends, the others lie evenly between. The weights
/// of all windows at a voxel sum to 1, so that no second sum has to be kept.
fn axis(size: usize, window: usize, overlap: f64) -> Vec<(usize, Vec<f32>)> {
    assert!(window >= 1 && window <= size && overlap < 1.0, "a window within the volume");
    let (room, step) = ((size - window) as f64, (window as f64 * (1.0 - overlap)).max(1.0));
    let num_steps = (room / step).ceil() as usize;
    let start = |n: usize| (room * n as f64 / num_steps.max(1) as f64).round() as usize;
    let gaussian = |place: usize| {
        let distance = place as f64 - (window - 1) as f64 / 2.0;
        (-0.5 * (distance / (SIGMA * window as f64)).powi(2)).exp()
    };
    let starts: Vec<usize> = (0..=num_steps).map(start).collect();
    let mut total = vec![0.0; size];
    for start in &starts {
        (0..window).for_each(|place| total[start + place] += gaussian(place));
    }
    let weights = |start: usize| {
        (0..window).map(|place| (gaussian(place) / total[start + place]) as f32).collect()
    };
    starts.iter().map(|&start| (start, weights(start))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_touch_both_ends_and_overlap_as_much_as_asked() {
        let starts = |size, window, overlap| -> Vec<usize> {
            axis(size, window, overlap).into_iter().map(|(start, _)| start).collect()
        };
        assert_eq!(starts(32, 32, 0.5), [0]);
        assert_eq!(starts(64, 32, 0.5), [0, 16, 32]);
        assert_eq!(starts(72, 32, 0.5), [0, 13, 27, 40]);
        assert_eq!(starts(64, 32, 0.0), [0, 32]);
        assert_eq!(starts(3, 1, 0.9), [0, 1, 2]);
    }

    #[test]
    fn weights_sum_to_1_at_every_voxel_and_favor_the_middle() {
        let axis = axis(40, 16, 0.5);
        let mut sum = [0.0; 40];
        for (start, weights) in &axis {
            weights.iter().enumerate().for_each(|(place, weight)| sum[start + place] += weight);
        }
        assert!(sum.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{sum:?}");
        // At the end there is one window alone, in the middle of one its neighbors count little.
        assert_eq!(axis[0].1[0], 1.0);
        assert!(axis[1].1[8] > 0.95 && axis[1].1[0] < 0.05, "{:?}", axis[1].1);
    }

    /// A network that sees each voxel by itself gives the same in windows.
    #[test]
    fn what_sees_voxels_alone_gives_the_full_volumes_result() {
        let dims = [12, 9, 7];
        let num_voxels: usize = dims.iter().product();
        let values = (0..2 * num_voxels).map(|n| (n as f32 * 0.37).sin()).collect();
        let input = Input { channels: 2, dims, values };
        let network = |input: &Input| -> Vec<f32> {
            let (a, b) = input.values.split_at(input.values.len() / 2);
            a.iter().zip(b).map(|(a, b)| a - 3.0 * b).collect()
        };
        let tiling = Tiling::new(dims, [4, 4, 7], 0.5);
        let mut told = Vec::new();
        let logits = |input: &Input| Ok::<_, ()>(network(input));
        let found = tiling.run(&input, 1, logits, |number| told.push(number)).unwrap();
        assert_eq!(told, (0..tiling.num_windows()).collect::<Vec<_>>());
        assert_eq!(told.len(), 5 * 4);
        let expected = network(&input);
        let differs = |(a, b): (&f32, &f32)| (a - b).abs();
        let largest = found.iter().zip(&expected).map(differs).fold(0.0, f32::max);
        assert!(largest < 1e-5, "{largest}");
    }
}
