//! Deep supervision: the reference of coarser levels, and the weight of each level's loss.

use std::ops::Range;

/// Returns the weights of the losses of the full size and of `num_levels` coarser levels: each is half
/// of the one before, and their sum is 1, as in nnU-Net.
pub fn level_weights(num_levels: usize) -> Vec<f64> {
    let halved: Vec<f64> = (0..=num_levels).map(|level| 0.5f64.powi(level as i32)).collect();
    let sum: f64 = halved.iter().sum();
    halved.into_iter().map(|weight| weight / sum).collect()
}

/// Returns labels of voxels that are `factor` times as long along every axis. A voxel gets the label
/// of most voxels in it; of equally many, the larger code, so that thin structures last longer.
///
/// # Shapes
/// - `labels`: `[batch, k, j, i]` of `dims` (i, j, k), multiples of `factor`
/// - returns: `[batch, k / factor, j / factor, i / factor]`
pub fn coarser(labels: &[u8], [ni, nj, nk]: [usize; 3], factor: usize) -> Vec<u8> {
    let in_voxel = |at: usize| -> Range<usize> { at * factor..(at + 1) * factor };
    let mut coarse = Vec::with_capacity(labels.len() / factor.pow(3));
    for volume in labels.chunks_exact(ni * nj * nk) {
        for k in 0..nk / factor {
            for j in 0..nj / factor {
                for i in 0..ni / factor {
                    let mut counts = [0u32; 256];
                    for (k, j) in in_voxel(k).flat_map(|k| in_voxel(j).map(move |j| (k, j))) {
                        let row = &volume[(k * nj + j) * ni..][in_voxel(i)];
                        row.iter().for_each(|&code| counts[usize::from(code)] += 1);
                    }
                    let most = (0..=255u8).max_by_key(|&code| counts[usize::from(code)]);
                    coarse.push(most.expect("256 codes"));
                }
            }
        }
    }
    coarse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarse_voxel_has_the_label_of_most_voxels() {
        #[rustfmt::skip]
        let labels = [
            0, 0, 1, 2,
            0, 3, 1, 2,
            0, 0, 1, 2,
            0, 3, 1, 2,
        ];
        assert_eq!(coarser(&labels, [4, 2, 2], 2), [0, 2]);
        assert_eq!(coarser(&[labels, labels].concat(), [4, 2, 2], 2), [0, 2, 0, 2]);
        assert_eq!(coarser(&labels, [4, 2, 2], 1), labels);
    }

    #[test]
    fn each_level_counts_half_of_the_one_before() {
        assert_eq!(level_weights(0), [1.0]);
        let weights = level_weights(2);
        assert!((weights[0] - 4.0 / 7.0).abs() < 1e-12 && (weights[2] - 1.0 / 7.0).abs() < 1e-12);
    }
}
