//! CarveMix: the foreground of one patch pasted into another (Zhang et al. 2021).

/// The widest margin around the foreground that is pasted too, in voxels.
pub(super) const MAX_MARGIN: usize = 3;

/// Pastes the foreground of a donor's patch, with a margin, where both patches have voxels that are
/// not 0 in every channel: the subject.
///
/// # Shapes
/// - values, and those of the donor: `[channel, k, j, i]`
/// - labels, and those of the donor: `[k, j, i]`
pub(super) fn paste(
    values: &mut [f32],
    labels: &mut [u8],
    (donor_values, donor_labels): &(Vec<f32>, Vec<u8>),
    patch: [usize; 3],
    margin: usize,
) {
    let num_voxels = labels.len();
    let subject = |values: &[f32], voxel: usize| {
        values.iter().skip(voxel).step_by(num_voxels).any(|value| *value != 0.0)
    };
    let mut is_pasted: Vec<bool> = donor_labels.iter().map(|label| *label != 0).collect();
    for _ in 0..margin {
        is_pasted = grown(&is_pasted, patch);
    }
    for voxel in (0..num_voxels).filter(|voxel| is_pasted[*voxel]) {
        if subject(values, voxel) && subject(donor_values, voxel) {
            labels[voxel] = donor_labels[voxel];
            for at in (voxel..values.len()).step_by(num_voxels) {
                values[at] = donor_values[at];
            }
        }
    }
}

/// Adds the six neighbors of every voxel of a mask.
fn grown(mask: &[bool], [ni, nj, _]: [usize; 3]) -> Vec<bool> {
    let mut grown = mask.to_vec();
    for (step, length) in [(1, ni), (ni, ni * nj), (ni * nj, mask.len())] {
        // Lines of voxels `step` apart lie in blocks of `length`.
        for start in (0..mask.len()).step_by(length) {
            let block = start..start + length;
            for at in block.start..block.end - step {
                grown[at] |= mask[at + step];
                grown[at + step] |= mask[at];
            }
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_grows_by_its_six_neighbors_and_not_around_a_border() {
        let patch = [3, 3, 2];
        let at = |i: usize, j: usize, k: usize| i + 3 * (j + 3 * k);
        let grown_from = |seed: usize| {
            let mask: Vec<bool> = (0..18).map(|voxel| voxel == seed).collect();
            let grown = grown(&mask, patch);
            (0..18).filter(|voxel| grown[*voxel]).collect::<Vec<_>>()
        };
        let mut expected =
            vec![at(1, 1, 0), at(0, 1, 0), at(2, 1, 0), at(1, 0, 0), at(1, 2, 0), at(1, 1, 1)];
        expected.sort();
        assert_eq!(grown_from(at(1, 1, 0)), expected);
        assert_eq!(grown_from(at(2, 0, 1)), [at(2, 0, 0), at(1, 0, 1), at(2, 0, 1), at(2, 1, 1)]);
    }

    #[test]
    fn the_foreground_is_pasted_with_its_margin_inside_both_subjects() {
        // Two channels of a line of six voxels; the last is outside of the receiver.
        let mut values = vec![1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 2.0, 0.0, 2.0, 2.0, 0.0];
        let mut labels = vec![7, 0, 0, 0, 0, 0];
        let donor_values = vec![5.0, 0.0, 5.0, 5.0, 5.0, 5.0, 6.0, 0.0, 6.0, 6.0, 6.0, 6.0];
        let donor = (donor_values, vec![0, 0, 3, 3, 0, 0]);
        paste(&mut values, &mut labels, &donor, [6, 1, 1], 2);
        assert_eq!(labels, [0, 0, 3, 3, 0, 0]);
        assert_eq!(values, [5.0, 1.0, 5.0, 5.0, 5.0, 0.0, 6.0, 2.0, 6.0, 6.0, 6.0, 0.0]);
    }
}
