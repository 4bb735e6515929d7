//! Maximum over 2³ voxels.

use crate::channels::{Channel, Channels};
use crate::parallel;
use crate::slab::Slab;
use crate::vector::{Vector, vectorized};

/// Computes the own planes of every channel.
///
/// # Shapes
/// - x: `[channel, k, j, i]`, `from` its slab; all axes are even
/// - output: `[channel, k/2, j/2, i/2]`, `to` its slab
#[inline(never)]
pub fn forward(x: Channels, from: &Slab, output: &mut [f32], to: &Slab) {
    let (plane, voxels) = (to.plane(), to.voxels());
    let mut planes = Vec::new();
    for (c, channel) in output.chunks_exact_mut(voxels).enumerate() {
        for (k, output) in channel[to.own_voxels()].chunks_exact_mut(plane).enumerate() {
            planes.push((c, from.own.start + 2 * k, output));
        }
    }
    parallel::for_each(planes, |_, (c, k, output)| {
        pool_plane(x.channel(c, from.voxels()), k, from.dims, output);
    });
}

vectorized! {
    fn pool_plane(x: Channel, k: usize, dims: [usize; 3], output: &mut [f32]) = pool_plane_of, 1
}

#[inline(always)]
fn pool_plane_of<V: Vector>(x: Channel, k: usize, [ni, nj, _]: [usize; 3], output: &mut [f32]) {
    let (mut largest, mut row) = (vec![0.0; ni], vec![0.0; ni]);
    for (j, output) in output.chunks_exact_mut(ni / 2).enumerate() {
        let row_at = |dk: usize, dj: usize| ((k + dk) * nj + 2 * j + dj) * ni;
        x.load(&mut largest, row_at(0, 0));
        for (dk, dj) in [(0, 1), (1, 0), (1, 1)] {
            x.load(&mut row, row_at(dk, dj));
            for (largest, row) in largest.chunks_mut(V::LANES).zip(row.chunks(V::LANES)) {
                V::load_some(largest).max(V::load_some(row)).store_some(largest);
            }
        }
        for (output, pair) in output.iter_mut().zip(largest.as_chunks::<2>().0) {
            *output = if pair[1] > pair[0] { pair[1] } else { pair[0] };
        }
    }
}
