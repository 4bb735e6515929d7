//! Tasks on the threads that the platform has: rayon's natively, one in the browser.

#[cfg(feature = "threads")]
use rayon::prelude::*;

/// Runs `task` for every item with its index, and returns the results in order.
pub fn map<T: Send, R: Send>(items: Vec<T>, task: impl Fn(usize, T) -> R + Sync + Send) -> Vec<R> {
    #[cfg(feature = "threads")]
    return items.into_par_iter().enumerate().map(|(n, item)| task(n, item)).collect();
    #[cfg(not(feature = "threads"))]
    return items.into_iter().enumerate().map(|(n, item)| task(n, item)).collect();
}

/// Runs `task` for every item with its index.
pub(crate) fn for_each<T: Send>(items: Vec<T>, task: impl Fn(usize, T) + Sync + Send) {
    map(items, task);
}

/// Runs `task` for every chunk of `len` values with its index; the last may be shorter.
pub(crate) fn for_each_chunk(
    values: &mut [f32],
    len: usize,
    task: impl Fn(usize, &mut [f32]) + Sync + Send,
) {
    #[cfg(feature = "threads")]
    values.par_chunks_mut(len).enumerate().for_each(|(n, chunk)| task(n, chunk));
    #[cfg(not(feature = "threads"))]
    values.chunks_mut(len).enumerate().for_each(|(n, chunk)| task(n, chunk));
}

/// Returns the number of threads.
pub fn num_threads() -> usize {
    #[cfg(feature = "threads")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "threads"))]
    return 1;
}

/// Returns the length of the parts in which `len` items are processed in parallel, at least `least`.
/// It does not depend on the number of threads, so neither do sums over parts.
pub(crate) fn part_len(len: usize, least: usize) -> usize {
    match cfg!(feature = "threads") {
        true => len.div_ceil(PARTS).max(least),
        false => len.max(1),
    }
}

/// Parts of a map; several per thread, so that no thread waits for long.
const PARTS: usize = 32;

/// Divides each channel of `voxels` values into the given ranges. Returns, for each range, its part
/// of every channel. The ranges must be in order and disjoint.
pub(crate) fn split_channels<'a, T>(
    values: &'a mut [T],
    voxels: usize,
    ranges: &[std::ops::Range<usize>],
) -> Vec<Vec<&'a mut [T]>> {
    let mut parts: Vec<Vec<&mut [T]>> = Vec::new();
    parts.resize_with(ranges.len(), || Vec::with_capacity(values.len() / voxels));
    for channel in values.chunks_exact_mut(voxels) {
        let (mut rest, mut at) = (channel, 0);
        for (part, range) in parts.iter_mut().zip(ranges) {
            let (_, after) = rest.split_at_mut(range.start - at);
            let (of_range, after) = after.split_at_mut(range.len());
            part.push(of_range);
            (rest, at) = (after, range.end);
        }
    }
    parts
}

/// Divides a range into parts of `len`; the last may be shorter.
pub(crate) fn parts(range: std::ops::Range<usize>, len: usize) -> Vec<std::ops::Range<usize>> {
    range.clone().step_by(len).map(|start| start..(start + len).min(range.end)).collect()
}
