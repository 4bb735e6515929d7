//! Linear maps along one axis of a patch.

/// For each voxel along an axis, the weights of a run of voxels.
#[derive(Debug, Clone, PartialEq)]
pub struct LineMap {
    /// The first voxel of each run, and the weights.
    taps: Vec<(usize, Vec<f32>)>,
}

impl LineMap {
    /// Returns a Gaussian of standard deviation `sigma`, in voxels, on `n` voxels. At the ends the
    /// weights inside are scaled up to a sum of 1.
    pub fn gaussian(n: usize, sigma: f32) -> LineMap {
        let reach = (3.0 * sigma).ceil() as usize;
        let of_voxel = |at: usize| {
            let (first, last) = (at.saturating_sub(reach), (at + reach).min(n - 1));
            let weight = |from: usize| (-0.5 * ((from as f32 - at as f32) / sigma).powi(2)).exp();
            (first, normalized((first..=last).map(weight).collect()))
        };
        LineMap { taps: (0..n).map(of_voxel).collect() }
    }

    /// Returns the map to voxels that are `factor` times as long and back: means over the long voxels,
    /// interpolated linearly between their centers.
    pub fn low_resolution(n: usize, factor: f32) -> LineMap {
        let long = ((n as f32 / factor).round() as usize).clamp(1, n);
        let length = n as f32 / long as f32;
        // The share of the long voxel `m` that voxel `at` covers.
        let share = |m: usize, at: usize| {
            let (start, end) = (m as f32 * length, (m + 1) as f32 * length);
            ((at as f32 + 1.0).min(end) - (at as f32).max(start)).max(0.0) / length
        };
        let of_voxel = |at: usize| {
            let place = ((at as f32 + 0.5) / length - 0.5).clamp(0.0, (long - 1) as f32);
            let (low, high) = (place.floor() as usize, (place.ceil() as usize).min(long - 1));
            let part = place - low as f32;
            let first = (low as f32 * length).floor() as usize;
            let last = (((high + 1) as f32 * length).ceil() as usize).min(n);
            let weight = |from| (1.0 - part) * share(low, from) + part * share(high, from);
            (first, normalized((first..last).map(weight).collect()))
        };
        LineMap { taps: (0..n).map(of_voxel).collect() }
    }

    /// Applies the map along `axis` of a channel of `dims` voxels.
    pub fn apply(&self, channel: &mut [f32], dims: [usize; 3], axis: usize) {
        let inner: usize = dims[..axis].iter().product();
        let mut lines = vec![0.0; dims[axis] * inner];
        for channel in channel.chunks_exact_mut(dims[axis] * inner) {
            lines.fill(0.0);
            for (line, (first, weights)) in lines.chunks_exact_mut(inner).zip(&self.taps) {
                for (from, weight) in channel[first * inner..].chunks_exact(inner).zip(weights) {
                    line.iter_mut().zip(from).for_each(|(sum, value)| *sum += weight * value);
                }
            }
            channel.copy_from_slice(&lines);
        }
    }
}

fn normalized(mut weights: Vec<f32>) -> Vec<f32> {
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_voxels_are_means_and_are_interpolated_between_their_centers() {
        let mut line = [0.0, 2.0, 4.0, 8.0];
        LineMap::low_resolution(4, 2.0).apply(&mut line, [4, 1, 1], 0);
        // The means are 1 and 6, at 0.5 and 2.5.
        assert_eq!(line, [1.0, 2.25, 4.75, 6.0]);
        let mut one = [1.0, 2.0, 6.0];
        LineMap::low_resolution(3, 100.0).apply(&mut one, [3, 1, 1], 0);
        assert_eq!(one, [3.0; 3]);
    }

    #[test]
    fn a_gaussian_has_its_standard_deviation_and_a_constant_stays() {
        for axis in 0..3 {
            let mut dims = [3; 3];
            dims[axis] = 41;
            let mut values = vec![0.0; dims.iter().product()];
            let center: usize = {
                let at: Vec<usize> = (0..3).map(|a| dims[a] / 2).collect();
                at[0] + dims[0] * (at[1] + dims[1] * at[2])
            };
            values[center] = 1.0;
            LineMap::gaussian(41, 2.0).apply(&mut values, dims, axis);
            let stride: usize = dims[..axis].iter().product();
            let variance: f32 = (-20..=20i32)
                .map(|n| (n * n) as f32 * values[(center as i32 + n * stride as i32) as usize])
                .sum();
            assert!((variance - 4.0).abs() < 0.15, "{variance}");
            let mut flat = vec![2.5; dims.iter().product()];
            LineMap::gaussian(41, 2.0).apply(&mut flat, dims, axis);
            assert!(flat.iter().all(|x| (x - 2.5).abs() < 1e-5));
        }
    }
}
