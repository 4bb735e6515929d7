//! Scans mirrored before the network and back behind it (test-time augmentation).

/// All combinations of flips along the axes wanted, none first.
pub fn combinations(wanted: [bool; 3]) -> Vec<[bool; 3]> {
    let of = |number: usize| std::array::from_fn(|axis| number >> axis & 1 == 1);
    let allowed = |flips: &[bool; 3]| (0..3).all(|axis| wanted[axis] || !flips[axis]);
    (0..8).map(of).filter(allowed).collect()
}

/// Volumes of `dims` (i fastest), each mirrored along the axes that are flipped; its own inverse.
pub fn flipped(values: &[f32], dims: [usize; 3], flips: [bool; 3]) -> Vec<f32> {
    if flips == [false; 3] {
        return values.to_vec();
    }
    let [ni, nj, nk] = dims;
    let place = |n: usize, length: usize, flip: bool| if flip { length - 1 - n } else { n };
    let mut out = Vec::with_capacity(values.len());
    for volume in values.chunks_exact(ni * nj * nk) {
        for k in 0..nk {
            for j in 0..nj {
                let row = ni * (place(j, nj, flips[1]) + nj * place(k, nk, flips[2]));
                let row = &volume[row..row + ni];
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
    fn every_combination_of_the_wanted_axes_comes_once() {
        assert_eq!(combinations([false; 3]), [[false; 3]]);
        let two = combinations([true, false, true]);
        assert_eq!(two.len(), 4);
        assert!(two.contains(&[true, false, true]) && two.iter().all(|flips| !flips[1]));
        assert_eq!(combinations([true; 3]).len(), 8);
    }

    #[test]
    fn a_flip_mirrors_its_axis_and_undoes_itself() {
        let values: Vec<f32> = (0..8).map(|n| n as f32).collect();
        let flip = |axis: usize| flipped(&values, [2, 2, 2], std::array::from_fn(|a| a == axis));
        assert_eq!(flip(0), [1., 0., 3., 2., 5., 4., 7., 6.]);
        assert_eq!(flip(1), [2., 3., 0., 1., 6., 7., 4., 5.]);
        assert_eq!(flip(2), [4., 5., 6., 7., 0., 1., 2., 3.]);
        for flips in combinations([true; 3]) {
            assert_eq!(flipped(&flipped(&values, [1, 4, 2], flips), [1, 4, 2], flips), values);
        }
    }
}
