//! Space to depth and its inverse. Rows of the larger side are read or written as a whole.

use crate::channels::Channels;
use crate::parallel;
use crate::slab::Slab;

/// Computes the own planes of every output channel: channel 8c + 4dk + 2dj + di holds voxel (2k +
/// dk, 2j + dj, 2i + di) of channel c.
///
/// # Shapes
/// - x: `[channel, k, j, i]`, `from` its slab; all axes are even
/// - output: `[8 · channel, k/2, j/2, i/2]`, `to` its slab
#[inline(never)]
pub fn space_to_depth(x: Channels, from: &Slab, output: &mut [f32], to: &Slab) {
    let [ni, nj, _] = from.dims;
    let mut maps = Vec::new();
    for (map, channel) in output.chunks_exact_mut(to.voxels()).enumerate() {
        maps.push((map, &mut channel[to.own_voxels()]));
    }
    parallel::for_each(maps, |_, (map, output)| {
        let [dk, dj, di] = [map % 8 / 4, map % 4 / 2, map % 2];
        let x = x.channel(map / 8, from.voxels());
        let mut row = vec![0.0; ni];
        for (n, output) in output.chunks_mut(ni / 2).enumerate() {
            let k = from.own.start + 2 * (n / (nj / 2)) + dk;
            x.load(&mut row, (k * nj + 2 * (n % (nj / 2)) + dj) * ni);
            for (output, pair) in output.iter_mut().zip(row.as_chunks::<2>().0) {
                *output = pair[di];
            }
        }
    });
}

/// Computes the own planes of every output channel, the inverse of [`space_to_depth`].
///
/// # Shapes
/// - x: `[8 · channel, k, j, i]`, `from` its slab
/// - output: `[channel, 2k, 2j, 2i]`, `to` its slab
#[inline(never)]
pub fn depth_to_space(x: Channels, from: &Slab, output: &mut [f32], to: &Slab) {
    let [ni, nj, _] = from.dims;
    let mut planes = Vec::new();
    for (map, channel) in output.chunks_exact_mut(to.voxels()).enumerate() {
        let own = channel[to.own_voxels()].chunks_exact_mut(to.plane());
        planes.extend(own.enumerate().map(|(k, plane)| (map, k, plane)));
    }
    parallel::for_each(planes, |_, (map, k, output)| {
        let mut row = vec![0.0; ni];
        for (j, output) in output.chunks_mut(2 * ni).enumerate() {
            let channel = 8 * map + k % 2 * 4 + j % 2 * 2;
            let start = ((from.own.start + k / 2) * nj + j / 2) * ni;
            for di in 0..2 {
                x.channel(channel + di, from.voxels()).load(&mut row, start);
                for (pair, x) in output.as_chunks_mut::<2>().0.iter_mut().zip(&row) {
                    pair[di] = *x;
                }
            }
        }
    });
}
