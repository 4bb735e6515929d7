//! Loops of the references over voxels.

/// Calls `voxel(index, [i, j, k])` for every voxel.
pub(super) fn for_each_voxel(dims: [usize; 3], mut voxel: impl FnMut(usize, [usize; 3])) {
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            for i in 0..dims[0] {
                voxel((k * dims[1] + j) * dims[0] + i, [i, j, k]);
            }
        }
    }
}

/// Returns the 3³ correlation at one voxel of one channel with zero padding; `taps` is `[k][j][i]`.
pub(super) fn correlate(
    from: &[f32],
    dims: [usize; 3],
    [i, j, k]: [usize; 3],
    taps: &[f32],
) -> f32 {
    let mut sum = 0.0;
    for (tap, weight) in taps.iter().enumerate() {
        // Indices are shifted by one, so that none is negative.
        let [ii, jj, kk] = [i + tap % 3, j + tap / 3 % 3, k + tap / 9];
        let inside = |place: usize, size: usize| (1..=size).contains(&place);
        if inside(ii, dims[0]) && inside(jj, dims[1]) && inside(kk, dims[2]) {
            sum += weight * from[((kk - 1) * dims[1] + jj - 1) * dims[0] + ii - 1];
        }
    }
    sum
}
