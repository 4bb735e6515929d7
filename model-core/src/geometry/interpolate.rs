//! Interpolation between the voxels of a volume. Coordinates are in voxels; beyond the outermost
//! centers the nearest voxel is repeated.

use glam::DVec3;

/// The voxel below a coordinate along one axis of `dim` voxels, and the fraction to the next.
fn split(at: f64, dim: usize) -> (usize, f32) {
    let at = at.max(0.0).min((dim - 1) as f64);
    let below = at as usize;
    (below, (at - below as f64) as f32)
}

/// Returns the weights of the four voxels around a fraction (Keys 1981, a = −1/2). They reproduce
/// parabolas.
fn keys(f: f32) -> [f32; 4] {
    let (f2, f3) = (f * f, f * f * f);
    [
        -0.5 * f + f2 - 0.5 * f3,
        1.0 - 2.5 * f2 + 1.5 * f3,
        0.5 * f + 2.0 * f2 - 1.5 * f3,
        -0.5 * f2 + 0.5 * f3,
    ]
}

/// Returns the indices of the four voxels around `below`.
fn four(below: usize, dim: usize) -> [usize; 4] {
    let last = dim - 1;
    [below.saturating_sub(1), below, (below + 1).min(last), (below + 2).min(last)]
}

/// Returns the cubic interpolation of 4 × 4 × 4 voxels. No dimension may be 0.
pub(super) fn cubic(values: &[f32], dims: [usize; 3], at: DVec3) -> f32 {
    let [(i, fi), (j, fj), (k, fk)]: [(usize, f32); 3] =
        std::array::from_fn(|axis| split(at[axis], dims[axis]));
    let (wi, wj, wk) = (keys(fi), keys(fj), keys(fk));
    let is_inner = i >= 1 && i + 2 < dims[0];
    let (of_i, of_j, of_k) = (four(i, dims[0]), four(j, dims[1]), four(k, dims[2]));
    let mut along_i = [0f32; 4];
    for (k, wk) in of_k.into_iter().zip(wk) {
        for (j, wj) in of_j.into_iter().zip(wj) {
            let row = dims[0] * (j + dims[1] * k);
            let weight = wj * wk;
            match is_inner {
                // One check of bounds for four voxels, which are one vector.
                true => {
                    let four = &values[row + i - 1..row + i + 3];
                    along_i.iter_mut().zip(four).for_each(|(sum, value)| *sum += weight * value);
                }
                false => {
                    let four = of_i.map(|i| values[row + i]);
                    along_i.iter_mut().zip(four).for_each(|(sum, value)| *sum += weight * value);
                }
            }
        }
    }
    along_i.iter().zip(wi).map(|(value, weight)| value * weight).sum()
}

/// Calls `visit` with the index and the weight of each voxel that has a share in the linear
/// interpolation. No dimension may be 0.
pub(super) fn linear_weights(dims: [usize; 3], at: DVec3, mut visit: impl FnMut(usize, f32)) {
    let axes: [(usize, f32); 3] = std::array::from_fn(|axis| split(at[axis], dims[axis]));
    for n in 0..8 {
        let (mut weight, mut index, mut stride) = (1.0, 0, 1);
        for (axis, (below, fraction)) in axes.into_iter().enumerate() {
            let is_next = n >> axis & 1 == 1;
            weight *= if is_next { fraction } else { 1.0 - fraction };
            index += stride * (below + usize::from(is_next)).min(dims[axis] - 1);
            stride *= dims[axis];
        }
        if weight > 0.0 {
            visit(index, weight);
        }
    }
}
