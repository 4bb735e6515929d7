//! New buffers that all threads fill. On one thread, filling a map would take as long as a kernel.

use std::mem::MaybeUninit;

use crate::parallel;

/// Values that one task writes.
const CHUNK: usize = 1 << 16;

/// Returns `len` zeros.
pub fn zeros(len: usize) -> Vec<f32> {
    if len <= CHUNK {
        return vec![0.0; len];
    }
    filled((0..len).step_by(CHUNK).map(|start| CHUNK.min(len - start)).collect(), |_, _| ())
}

/// Returns values that tasks fill part by part. A task gets the number of its part, and zeros.
pub fn filled(lens: Vec<usize>, task: impl Fn(usize, &mut [f32]) + Sync + Send) -> Vec<f32> {
    let len = lens.iter().sum();
    let mut values = Vec::with_capacity(len);
    let mut rest = &mut values.spare_capacity_mut()[..len];
    let mut parts = Vec::with_capacity(lens.len());
    for len in lens {
        let (part, after) = rest.split_at_mut(len);
        parts.push(part);
        rest = after;
    }
    parallel::for_each(parts, |n, part| task(n, zeroed(part)));
    // SAFETY: the parts cover the first `len` values, and all of them were zeroed.
    unsafe { values.set_len(len) };
    values
}

/// Fills new memory with zeros. They are still in the cache when the caller overwrites them.
pub(crate) fn zeroed(values: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    values.fill(MaybeUninit::new(0.0));
    // SAFETY: all values were written, and have the layout of f32.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [f32]) }
}

/// Returns the values of several slices, one slice after the other.
pub fn concat(parts: &[&[f32]]) -> Vec<f32> {
    let len = parts.iter().map(|part| part.len()).sum();
    let mut values = Vec::with_capacity(len);
    let mut rest = &mut values.spare_capacity_mut()[..len];
    let mut copies: Vec<(&mut [MaybeUninit<f32>], &[f32])> = Vec::new();
    for chunk in parts.iter().flat_map(|part| part.chunks(CHUNK)) {
        let (to, after) = rest.split_at_mut(chunk.len());
        copies.push((to, chunk));
        rest = after;
    }
    parallel::for_each(copies, |_, (to, from)| {
        to.write_copy_of_slice(from);
    });
    // SAFETY: the chunks cover the first `len` values, and every task wrote its chunk.
    unsafe { values.set_len(len) };
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_hold_what_they_should() {
        for len in [0, 3, CHUNK, 2 * CHUNK + 5] {
            assert_eq!(zeros(len), vec![0.0; len]);
            let x: Vec<f32> = (0..len).map(|n| n as f32).collect();
            assert_eq!(concat(&[&x, &[], &[-1.0], &x]), [&x[..], &[-1.0], &x[..]].concat());
        }
        assert!(concat(&[]).is_empty());
        let numbered =
            filled(vec![2, 0, 3], |n, part| part.iter_mut().for_each(|x| *x += n as f32));
        assert_eq!(numbered, [0.0, 0.0, 2.0, 2.0, 2.0]);
    }
}
