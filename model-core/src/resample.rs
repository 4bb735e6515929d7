//! Linear interpolation on the voxel grid, for scans of another spacing than the network's.

/// One axis of a resampling: for each output position the two neighbors and the second's share.
/// Edges of the first and last voxel coincide; beyond voxel centers the nearest value holds.
pub(crate) struct Axis(Vec<(usize, usize, f32)>);

impl Axis {
    /// From `source` voxels to `target` voxels over the same extent.
    pub fn new(source: usize, target: usize) -> Self {
        let at = |n: usize| {
            let position = coordinate(n, target, source).clamp(0.0, (source - 1) as f64);
            let low = position.floor() as usize;
            (low, (low + 1).min(source - 1), (position - low as f64) as f32)
        };
        Axis((0..target).map(at).collect())
    }

    /// The weighted mean of the neighbors of output position `n`, read by `value`.
    fn mix(&self, n: usize, value: impl Fn(usize) -> f32) -> f32 {
        let (low, high, share) = self.0[n];
        let (a, b) = (value(low), value(high));
        a + (b - a) * share
    }
}

/// Where the center of voxel `n` of `from` lies among `to` voxels over the same extent.
pub(crate) fn coordinate(n: usize, from: usize, to: usize) -> f64 {
    (n as f64 + 0.5) * to as f64 / from as f64 - 0.5
}

/// The voxel among `to` that the center of voxel `n` of `from` lies in.
pub(crate) fn nearest(n: usize, from: usize, to: usize) -> usize {
    // (n + 1/2) · to / from, in whole numbers: exact.
    ((2 * n + 1) * to / (2 * from)).min(to - 1)
}

/// Values of a grid of `source` voxels on one of `target` voxels over the same extent, by linear
/// interpolation along each axis in turn.
pub(crate) fn linear(values: &[f32], source: [usize; 3], target: [usize; 3]) -> Vec<f32> {
    let [si, sj, sk] = source;
    let [ti, tj, tk] = target;
    let (i_axis, j_axis, k_axis) = (Axis::new(si, ti), Axis::new(sj, tj), Axis::new(sk, tk));
    let mut along_i = Vec::with_capacity(ti * sj * sk);
    for row in values.chunks_exact(si) {
        along_i.extend((0..ti).map(|i| i_axis.mix(i, |n| row[n])));
    }
    let mut along_j = Vec::with_capacity(ti * tj * sk);
    for slice in along_i.chunks_exact(ti * sj) {
        for j in 0..tj {
            along_j.extend((0..ti).map(|i| j_axis.mix(j, |n| slice[i + ti * n])));
        }
    }
    drop(along_i);
    let area = ti * tj;
    let mut out = Vec::with_capacity(area * tk);
    for k in 0..tk {
        out.extend((0..area).map(|at| k_axis.mix(k, |n| along_j[at + area * n])));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_stays_a_ramp() {
        let ramp: Vec<f32> = (0..4).map(|n| n as f32).collect();
        assert_eq!(linear(&ramp, [4, 1, 1], [4, 1, 1]), ramp);
        assert_eq!(linear(&ramp, [1, 4, 1], [1, 2, 1]), [0.5, 2.5]);
        let fine = linear(&ramp, [1, 1, 4], [1, 1, 8]);
        assert_eq!(fine, [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]);
    }

    #[test]
    fn the_nearest_voxel_holds_the_center() {
        let from_4_to_2: Vec<usize> = (0..4).map(|n| nearest(n, 4, 2)).collect();
        assert_eq!(from_4_to_2, [0, 0, 1, 1]);
        let from_2_to_3: Vec<usize> = (0..2).map(|n| nearest(n, 2, 3)).collect();
        assert_eq!(from_2_to_3, [0, 2]);
    }
}
