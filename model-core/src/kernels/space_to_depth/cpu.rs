//! Space to depth on the CPU. Rows of the larger side are read or written as a whole.

use rayon::prelude::*;

/// # Shapes
/// - x: `[maps, k, j, i]`
/// - output: `[8 · maps, k/2, j/2, i/2]`
pub fn space_to_depth(x: &[f32], dims: [usize; 3]) -> Vec<f32> {
    let [i, j, _] = dims;
    let voxels: usize = dims.iter().product();
    let mut output = vec![0.0; x.len()];
    // One task per output channel.
    output.par_chunks_mut(voxels / 8).enumerate().for_each(|(map, output)| {
        let [dk, dj, di] = [map % 8 / 4, map % 4 / 2, map % 2];
        let x = &x[map / 8 * voxels..][..voxels];
        for (row, output) in output.chunks_mut(i / 2).enumerate() {
            let (kk, jj) = (2 * (row / (j / 2)) + dk, 2 * (row % (j / 2)) + dj);
            let x = &x[(kk * j + jj) * i..][..i];
            for (output, pair) in output.iter_mut().zip(x.chunks(2)) {
                *output = pair[di];
            }
        }
    });
    output
}

/// # Shapes
/// - x: `[8 · maps, k, j, i]`
/// - output: `[maps, 2k, 2j, 2i]`
pub fn depth_to_space(x: &[f32], dims: [usize; 3]) -> Vec<f32> {
    let [i, j, _] = dims;
    let voxels: usize = dims.iter().product();
    let mut output = vec![0.0; x.len()];
    output.par_chunks_mut(8 * voxels).enumerate().for_each(|(map, output)| {
        let x = &x[map * 8 * voxels..][..8 * voxels];
        for (row, output) in output.chunks_mut(2 * i).enumerate() {
            let (kk, jj) = (row / (2 * j), row % (2 * j));
            let channel = kk % 2 * 4 + jj % 2 * 2;
            let start = (kk / 2 * j + jj / 2) * i;
            for di in 0..2 {
                let x = &x[(channel + di) * voxels + start..][..i];
                for (pair, x) in output.chunks_mut(2).zip(x) {
                    pair[di] = *x;
                }
            }
        }
    });
    output
}
