//! Depthwise 3³ convolution with zero padding 1. Slabs of planes run in parallel on a zero-padded
//! copy; the sums of a vector of voxels in some rows stay in registers while the taps pass.

use crate::buffer;
use crate::channels::{Channel, ChannelAffine, Channels};
use crate::moments::Moments;
use crate::parallel;
use crate::slab::Slab;
use crate::vector::{MAX_LANES, Vector, vectorized};

/// Voxels of a part of a channel. Its padded copy fits a core's own cache.
const PART_VOXELS: usize = 1 << 15;

/// Rows that share each loaded vector. WebAssembly's engines have 15 vector registers on x86, so that
/// more sums would not stay in registers.
const ROWS: usize = if cfg!(target_arch = "wasm32") { 2 } else { 4 };

/// Computes `output[v] = Σ_t weight[t] · x[v + t − 1]` per channel, for the own planes of every
/// channel. Returns the statistics of each if they are wanted.
///
/// # Shapes
/// - x, output: `[channel, k, j, i]`
/// - weight: `[c, 3, 3, 3]`, used again for each further sample
#[inline(never)]
pub fn forward(
    x: Channels,
    weight: &[f32],
    slab: &Slab,
    output: &mut [f32],
    wants_moments: bool,
) -> Vec<Moments> {
    let (voxels, plane) = (slab.voxels(), slab.plane());
    let weight = weight.as_chunks::<27>().0;
    let ranges = parallel::parts(slab.own.clone(), (PART_VOXELS / plane).max(1));
    let mut parts = Vec::new();
    for (n, channel) in output.chunks_exact_mut(voxels).enumerate() {
        let mut rest = &mut channel[slab.own_voxels()];
        for planes in &ranges {
            let (part, after) = rest.split_at_mut(planes.len() * plane);
            parts.push((n, planes.clone(), part));
            rest = after;
        }
    }
    let moments = parallel::map(parts, |_, (n, planes, output)| {
        let [ni, nj, nk] = slab.dims;
        let first = planes.start as isize - 1;
        let padded = Padded::new(x.channel(n, voxels), [ni, nj, nk], first, planes.len() + 2);
        convolve_planes(&padded, &weight[n % weight.len()], output, wants_moments)
    });
    if !wants_moments {
        return Vec::new();
    }
    moments.chunks(ranges.len()).map(|parts| Moments::merge_all(parts.iter().copied())).collect()
}

/// Computes [`forward`] of a whole map into new memory.
///
/// # Shapes
/// - x, returns: `[channel, k, j, i]`
/// - weight: `[c, 3, 3, 3]`, used again for each further sample
pub fn output(x: Channels, weight: &[f32], dims @ [ni, nj, nk]: [usize; 3]) -> Vec<f32> {
    let (plane, weight) = (ni * nj, weight.as_chunks::<27>().0);
    let ranges = parallel::parts(0..nk, (PART_VOXELS / plane).max(1));
    let channels = x.len() / (plane * nk);
    let lens = (0..channels).flat_map(|_| ranges.iter().map(|planes| planes.len() * plane));
    buffer::filled(lens.collect(), |part, output| {
        let (n, planes) = (part / ranges.len(), &ranges[part % ranges.len()]);
        let first = planes.start as isize - 1;
        let padded = Padded::new(x.channel(n, plane * nk), dims, first, planes.len() + 2);
        convolve_planes(&padded, &weight[n % weight.len()], output, false);
    })
}

/// Returns the bytes that a thread needs.
pub fn scratch_bytes([ni, nj, nk]: [usize; 3]) -> usize {
    let planes = (PART_VOXELS / (ni * nj)).clamp(1, nk) + 2;
    4 * (planes * (ni + 2) * (nj + 2) + MAX_LANES)
}

/// Some planes of a channel with a border of zeros. The first tap of output voxel (0, j, k) is at
/// `(k · (nj + 2) + j) · stride`.
pub struct Padded {
    values: Vec<f32>,
    /// Voxels along i and j.
    pub dims: [usize; 2],
    /// Values from row to row.
    pub stride: usize,
    /// Values from plane to plane.
    pub plane: usize,
}

impl Padded {
    /// Copies `planes` planes from plane `first` on, which may lie outside the channel.
    pub fn new(x: Channel, [ni, nj, nk]: [usize; 3], first: isize, planes: usize) -> Self {
        let (stride, plane) = (ni + 2, (ni + 2) * (nj + 2));
        // A vector at the end of the last row reaches beyond its plane.
        let len = planes * plane + MAX_LANES;
        let mut values = Vec::with_capacity(len);
        for (n, padded) in values.spare_capacity_mut()[..len].chunks_mut(plane).enumerate() {
            // Zeroed plane by plane, the memory is in the cache when the rows overwrite it.
            let padded = buffer::zeroed(padded);
            let k = first.checked_add_unsigned(n).and_then(|k| usize::try_from(k).ok());
            if let Some(k) = k.filter(|&k| n < planes && k < nk) {
                let from = &x.values()[k * ni * nj..][..ni * nj];
                load_rows(from, x.norm(), ni, &mut padded[stride..][..nj * stride]);
            }
        }
        // SAFETY: the chunks cover the first `len` values, and all of them were zeroed.
        unsafe { values.set_len(len) };
        Padded { values, dims: [ni, nj], stride, plane }
    }

    /// Returns the values from plane `k` on.
    pub fn from_plane(&self, k: usize) -> &[f32] {
        &self.values[k * self.plane..]
    }
}

vectorized! {
    /// Loads rows of `ni` values into rows of `ni + 2`, whose first and last values stay.
    fn load_rows(from: &[f32], affine: Option<ChannelAffine>, ni: usize, to: &mut [f32])
        = load_rows_by, 1
}

#[inline(always)]
fn load_rows_by<V: Vector>(from: &[f32], affine: Option<ChannelAffine>, ni: usize, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(ni).zip(to.chunks_exact_mut(ni + 2)) {
        let pairs = from.chunks(V::LANES).zip(to[1..=ni].chunks_mut(V::LANES));
        match affine {
            None => pairs.for_each(|(from, to)| V::load_some(from).store_some(to)),
            Some(affine) => {
                pairs.for_each(|(from, to)| affine.apply_vector(V::load_some(from)).store_some(to));
            }
        }
    }
}

/// Convolves planes of one channel. `x` has one more plane on either side.
fn convolve_planes(
    x: &Padded,
    weight: &[f32; 27],
    output: &mut [f32],
    wants_moments: bool,
) -> Moments {
    let [ni, nj] = x.dims;
    let mut moments = Moments::default();
    for (k, output) in output.chunks_exact_mut(ni * nj).enumerate() {
        let planes = [0, 1, 2].map(|dk| x.from_plane(k + dk));
        convolve_rows(planes, weight, output, ni, x.stride);
        if wants_moments {
            moments = moments.merge(Moments::of(output));
        }
    }
    moments
}

vectorized! {
    /// Convolves rows of one channel, some at a time.
    ///
    /// # Shapes
    /// - planes: three padded planes, rows `stride` apart, from the row before the first output on; a
    ///   vector of values follows the last row
    /// - output: `[row, ni]`
    pub(crate) fn convolve_rows(
        planes: [&[f32]; 3],
        weight: &[f32; 27],
        output: &mut [f32],
        ni: usize,
        stride: usize,
    ) = convolve_rows_by, 1, 2 in wasm
}

#[inline(always)]
fn convolve_rows_by<V: Vector>(
    planes: [&[f32]; 3],
    weight: &[f32; 27],
    output: &mut [f32],
    ni: usize,
    stride: usize,
) {
    let rows = output.len() / ni;
    for plane in planes {
        assert!(plane.len() >= (rows + 1) * stride + ni.next_multiple_of(V::LANES) + 2);
    }
    for (block, output) in output.chunks_mut(ROWS * ni).enumerate() {
        let start = ROWS * block * stride;
        match output.len() / ni {
            1 => convolve_block::<V, 1>(planes, weight, output, ni, stride, start),
            2 => convolve_block::<V, 2>(planes, weight, output, ni, stride, start),
            3 => convolve_block::<V, 3>(planes, weight, output, ni, stride, start),
            _ => convolve_block::<V, 4>(planes, weight, output, ni, stride, start),
        }
    }
}

/// Convolves `ROWS` rows; `start` is the first value of the row before them.
#[inline(always)]
fn convolve_block<V: Vector, const ROWS: usize>(
    planes: [&[f32]; 3],
    weight: &[f32; 27],
    output: &mut [f32],
    ni: usize,
    stride: usize,
    start: usize,
) {
    for i in (0..ni).step_by(V::LANES) {
        let mut sums = [V::splat(0.0); ROWS];
        for (plane, weight) in planes.iter().zip(weight.as_chunks::<9>().0) {
            // Plain loops of constant length, which the compiler unrolls.
            for row in 0..ROWS + 2 {
                for di in 0..3 {
                    // SAFETY: the caller checked the length of the planes.
                    let x = unsafe { V::load_unchecked(plane, start + row * stride + i + di) };
                    for dj in 0..3 {
                        if row >= dj && row - dj < ROWS {
                            let sum = &mut sums[row - dj];
                            *sum = x.mul_add(V::splat(weight[dj * 3 + di]), *sum);
                        }
                    }
                }
            }
        }
        for (row, sum) in sums.into_iter().enumerate() {
            let end = (i + V::LANES).min(ni);
            sum.store_some(&mut output[row * ni + i..row * ni + end]);
        }
    }
}
