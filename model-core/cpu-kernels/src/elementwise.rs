//! Stages that compute every voxel from the same voxel: sums, norms and label codes.

use std::ops::Range;

use crate::buffer;
use crate::channels::{ChannelAffine, Channels};
use crate::moments::Moments;
use crate::parallel;
use crate::vector::{Vector, vectorized};

/// Fewest voxels of a part of a channel.
const PART_VOXELS: usize = 1 << 14;

/// Computes `to = own(to) + sign · x` for a range of voxels; `own` are the affine maps of `to`.
///
/// # Shapes
/// - x, to: `[channel, voxel]`
#[inline(never)]
pub fn add(
    x: Channels,
    to: &mut [f32],
    channels: usize,
    range: Range<usize>,
    own: Option<&[ChannelAffine]>,
    sign: f32,
) {
    for_each_part(to, channels, range, |c, start, part| {
        add_part(x, c, channels, start, part, own.map(|own| own[c]), sign);
    });
}

/// Writes x, normalized, to new memory.
///
/// # Shapes
/// - x, returns: `[channel, voxel]`
pub fn normalized(x: Channels, channels: usize) -> Vec<f32> {
    let (starts, lens) = new_parts(x.len() / channels, channels);
    let voxels = x.len() / channels;
    buffer::filled(lens, |part, to| {
        x.channel(part / starts.len(), voxels).load(to, starts[part % starts.len()]);
    })
}

/// Computes `to + sign · x` into new memory.
///
/// # Shapes
/// - x, to, returns: `[channel, voxel]`
pub fn sum(x: Channels, to: &[f32], channels: usize, sign: f32) -> Vec<f32> {
    let voxels = to.len() / channels;
    let (starts, lens) = new_parts(voxels, channels);
    buffer::filled(lens, |part, sum| {
        let (c, start) = (part / starts.len(), starts[part % starts.len()]);
        sum.copy_from_slice(&to[c * voxels + start..][..sum.len()]);
        add_part(x, c, channels, start, sum, None, sign);
    })
}

vectorized! {
    fn add_part(
        x: Channels,
        channel: usize,
        channels: usize,
        start: usize,
        to: &mut [f32],
        own: Option<ChannelAffine>,
        sign: f32,
    ) = add_part_of, 1
}

#[inline(always)]
fn add_part_of<V: Vector>(
    x: Channels,
    channel: usize,
    channels: usize,
    start: usize,
    to: &mut [f32],
    own: Option<ChannelAffine>,
    sign: f32,
) {
    let x = x.channel(channel, x.len() / channels);
    let (from, sign) = (&x.values()[start..start + to.len()], V::splat(sign));
    let of_x = x.affine();
    let vectors = to.chunks_mut(V::LANES).zip(from.chunks(V::LANES));
    match own {
        None => vectors.for_each(|(to, x)| {
            let x = of_x.apply_vector(V::load_some(x));
            x.mul_add(sign, V::load_some(to)).store_some(to);
        }),
        Some(own) => vectors.for_each(|(to, x)| {
            let x = of_x.apply_vector(V::load_some(x));
            x.mul_add(sign, own.apply_vector(V::load_some(to))).store_some(to);
        }),
    }
}

/// Writes a range of voxels of x, normalized, to another map.
pub fn normalize_into(x: Channels, to: &mut [f32], channels: usize, range: Range<usize>) {
    let voxels = x.len() / channels;
    for_each_part(to, channels, range, |c, start, part| x.channel(c, voxels).load(part, start));
}

/// Normalizes a range of voxels in place.
pub fn normalize(to: &mut [f32], channels: usize, range: Range<usize>, own: &[ChannelAffine]) {
    for_each_part(to, channels, range, |c, _, part| normalize_part(part, own[c]));
}

vectorized! {
    fn normalize_part(to: &mut [f32], own: ChannelAffine) = normalize_part_of, 1
}

#[inline(always)]
fn normalize_part_of<V: Vector>(to: &mut [f32], own: ChannelAffine) {
    for values in to.chunks_mut(V::LANES) {
        own.apply_vector(V::load_some(values)).store_some(values);
    }
}

/// Divides new maps into parts. Returns the first voxel of each part of a channel, and the lengths of
/// the parts of all channels.
fn new_parts(voxels: usize, channels: usize) -> (Vec<usize>, Vec<usize>) {
    let starts: Vec<usize> = (0..voxels).step_by(PART_VOXELS).collect();
    let lens = starts.iter().map(|start| PART_VOXELS.min(voxels - start));
    let lens = lens.collect::<Vec<_>>().repeat(channels);
    (starts, lens)
}

/// Computes the statistics of a range of voxels of every channel.
#[inline(never)]
pub fn moments(x: &[f32], channels: usize, range: Range<usize>) -> Vec<Moments> {
    let voxels = x.len() / channels;
    let ranges = parallel::parts(range.clone(), parallel::part_len(range.len(), PART_VOXELS));
    let all = (0..channels).flat_map(|c| ranges.iter().map(move |range| (c, range.clone())));
    let of_parts = parallel::map(all.collect(), |_, (c, range)| {
        Moments::of(&x[c * voxels..][..voxels][range])
    });
    of_parts.chunks(ranges.len()).map(|parts| Moments::merge_all(parts.iter().copied())).collect()
}

/// Returns the label code of every voxel of a range: with `exclusive` that of the largest logit,
/// otherwise that of the last positive logit, otherwise 0.
///
/// # Shapes
/// - x: `[logit, voxel]`
#[inline(never)]
pub fn decide(x: Channels, codes: &[u8], exclusive: bool, range: Range<usize>) -> Vec<u8> {
    let ranges = parallel::parts(range.clone(), parallel::part_len(range.len(), PART_VOXELS));
    let parts = parallel::map(ranges, |_, range| decide_part(x, codes, exclusive, range));
    parts.concat()
}

fn decide_part(x: Channels, codes: &[u8], exclusive: bool, range: Range<usize>) -> Vec<u8> {
    let voxels = x.len() / codes.len();
    let (mut labels, mut logits) = (vec![0; range.len()], [0.0; 256]);
    for (n, labels) in labels.chunks_mut(logits.len()).enumerate() {
        let mut largest = [f32::NEG_INFINITY; 256];
        for (c, &code) in codes.iter().enumerate() {
            let logits = &mut logits[..labels.len()];
            x.channel(c, voxels).load(logits, range.start + n * 256);
            for ((label, largest), &logit) in labels.iter_mut().zip(&mut largest).zip(&*logits) {
                match exclusive {
                    true if logit > *largest => (*label, *largest) = (code, logit),
                    false if logit > 0.0 => *label = code,
                    _ => {}
                }
            }
        }
    }
    labels
}

/// Runs `task` with the channel, the first voxel and the values of each part of a range.
fn for_each_part(
    to: &mut [f32],
    channels: usize,
    range: Range<usize>,
    task: impl Fn(usize, usize, &mut [f32]) + Sync + Send,
) {
    let voxels = to.len() / channels;
    let len = parallel::part_len(range.len(), PART_VOXELS);
    let mut parts = Vec::new();
    for (c, channel) in to.chunks_exact_mut(voxels).enumerate() {
        for (n, part) in channel[range.clone()].chunks_mut(len).enumerate() {
            parts.push((c, range.start + n * len, part));
        }
    }
    parallel::for_each(parts, |_, (c, start, part)| task(c, start, part));
}
