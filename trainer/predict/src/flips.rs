//! Test-time augmentation: inputs are mirrored before the network, and its logits are mirrored
//! back.

/// Returns all combinations of flips along the given axes, beginning with no flip.
pub fn combinations(axes: [bool; 3]) -> Vec<[bool; 3]> {
    let flips = |number: usize| std::array::from_fn(|axis| number >> axis & 1 == 1);
    let is_allowed = |flips: &[bool; 3]| (0..3).all(|axis| axes[axis] || !flips[axis]);
    (0..8).map(flips).filter(is_allowed).collect()
}

/// Mirrors volumes of `dims` along the flipped axes. The function is its own inverse.
///
/// # Shapes
/// - values: `[volume][k][j][i]`
pub fn flip(values: &[f32], dims: [usize; 3], flips: [bool; 3]) -> Vec<f32> {
    if flips == [false; 3] {
        return values.to_vec();
    }
    let [ni, nj, nk] = dims;
    let source = |n: usize, length: usize, flip: bool| if flip { length - 1 - n } else { n };
    let mut out = Vec::with_capacity(values.len());
    for volume in values.chunks_exact(ni * nj * nk) {
        for k in 0..nk {
            for j in 0..nj {
                let start = ni * (source(j, nj, flips[1]) + nj * source(k, nk, flips[2]));
                let row = &volume[start..start + ni];
                match flips[0] {
                    true => out.extend(row.iter().rev()),
                    false => out.extend_from_slice(row),
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_the_axes_appears_once() {
        assert_eq!(combinations([false; 3]), [[false; 3]]);
        let two = combinations([true, false, true]);
        assert_eq!(two.len(), 4);
        assert!(two.contains(&[true, false, true]) && two.iter().all(|flips| !flips[1]));
        assert_eq!(combinations([true; 3]).len(), 8);
    }

    #[test]
    fn a_flip_mirrors_its_axis_and_undoes_itself() {
        let values: Vec<f32> = (0..8).map(|n| n as f32).collect();
        let along = |axis: usize| flip(&values, [2, 2, 2], std::array::from_fn(|a| a == axis));
        assert_eq!(along(0), [1., 0., 3., 2., 5., 4., 7., 6.]);
        assert_eq!(along(1), [2., 3., 0., 1., 6., 7., 4., 5.]);
        assert_eq!(along(2), [4., 5., 6., 7., 0., 1., 2., 3.]);
        for flips in combinations([true; 3]) {
            assert_eq!(flip(&flip(&values, [1, 4, 2], flips), [1, 4, 2], flips), values);
        }
    }
}
