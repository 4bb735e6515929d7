//! Trilinear up-sampling by two (`align_corners = false`), one axis after the other: planes, rows,
//! then voxels.

use crate::channels::{Channel, ChannelAffine, Channels};
use crate::parallel;
use crate::slab::Slab;
use crate::vector::{Vector, vectorized};

/// Writes the up-sampled own planes of every channel to `output`, or adds them to
/// `own(output)` if `own` has affine maps.
///
/// # Shapes
/// - x: `[channel, k, j, i]`, `from` its slab
/// - output: `[channel, 2k, 2j, 2i]`, `to` its slab
#[inline(never)]
pub fn forward(
    x: Channels,
    from: &Slab,
    output: &mut [f32],
    to: &Slab,
    own: Option<&[ChannelAffine]>,
) {
    let mut planes = Vec::new();
    for (c, channel) in output.chunks_exact_mut(to.voxels()).enumerate() {
        let pairs = channel[to.own_voxels()].chunks_exact_mut(2 * to.plane());
        planes.extend(pairs.enumerate().map(|(k, pair)| (c, from.own.start + k, pair)));
    }
    parallel::for_each(planes, |_, (c, k, output)| {
        let x = x.channel(c, from.voxels());
        upsample_plane(x, k, from.dims, output, own.map(|own| own[c]));
    });
}

/// Returns the bytes that a thread needs.
pub fn scratch_bytes([ni, nj, _]: [usize; 3]) -> usize {
    4 * (5 * ni * nj + 3 * ni)
}

vectorized! {
    /// Computes the two planes of outputs nearest to plane `k`.
    fn upsample_plane(
        x: Channel,
        k: usize,
        dims: [usize; 3],
        output: &mut [f32],
        own: Option<ChannelAffine>,
    ) = upsample_plane_of, 1
}

#[inline(always)]
fn upsample_plane_of<V: Vector>(
    x: Channel,
    k: usize,
    [ni, nj, nk]: [usize; 3],
    output: &mut [f32],
    own: Option<ChannelAffine>,
) {
    let plane = ni * nj;
    let mut near = vec![0.0; plane];
    let mut far = vec![0.0; plane];
    let mut blended = vec![0.0; ni];
    let mut row = vec![0.0; 2 * ni];
    x.load(&mut near, k * plane);
    let neighbors = [k.saturating_sub(1), (k + 1).min(nk - 1)];
    for (neighbor, output) in neighbors.into_iter().zip(output.chunks_exact_mut(4 * plane)) {
        x.load(&mut far, neighbor * plane);
        for (far, near) in far.chunks_mut(V::LANES).zip(near.chunks(V::LANES)) {
            blend::<V>(near, far);
        }
        for (j, output) in output.chunks_exact_mut(2 * ni).enumerate() {
            let near = j / 2;
            let away = match j % 2 {
                0 => near.saturating_sub(1),
                _ => (near + 1).min(nj - 1),
            };
            blended.copy_from_slice(&far[away * ni..][..ni]);
            let rows = blended.chunks_mut(V::LANES);
            for (blended, near) in rows.zip(far[near * ni..][..ni].chunks(V::LANES)) {
                blend::<V>(near, blended);
            }
            match own {
                None => widen::<V>(&blended, output),
                Some(own) => {
                    widen::<V>(&blended, &mut row);
                    for (output, row) in output.chunks_mut(V::LANES).zip(row.chunks(V::LANES)) {
                        let before = own.apply_vector(V::load_some(output));
                        before.add(V::load_some(row)).store_some(output);
                    }
                }
            }
        }
    }
}

/// Computes `far = 0.75 · near + 0.25 · far`.
#[inline(always)]
fn blend<V: Vector>(near: &[f32], far: &mut [f32]) {
    let quarter = V::load_some(far).mul(V::splat(0.25));
    V::load_some(near).mul_add(V::splat(0.75), quarter).store_some(far);
}

/// Doubles the voxels of a row.
#[inline(always)]
fn widen<V: Vector>(row: &[f32], output: &mut [f32]) {
    let ni = row.len();
    output[0] = row[0];
    output[2 * ni - 1] = row[ni - 1];
    let (near, far) = (V::splat(0.75), V::splat(0.25));
    let ends = row.len() - 1;
    let whole = ends / V::LANES * V::LANES;
    let inner = &mut output[1..2 * ni - 1];
    for at in (0..whole).step_by(V::LANES) {
        let (a, b) = (V::load(&row[at..]), V::load(&row[at + 1..]));
        let first = a.mul_add(near, b.mul(far));
        first.store_pairs(b.mul_add(near, a.mul(far)), &mut inner[2 * at..]);
    }
    let pairs = inner[2 * whole..].as_chunks_mut::<2>().0;
    for (pair, ends) in pairs.iter_mut().zip(row[whole..].windows(2)) {
        let [a, b] = [ends[0], ends[1]];
        *pair = [0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b];
    }
}
