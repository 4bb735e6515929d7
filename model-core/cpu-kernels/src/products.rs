//! Sums over the voxels of the products of two sets of channels: the gradient of the weight of a
//! pointwise convolution.

use std::ops::Range;

use crate::channels::Channels;
use crate::parallel;
use crate::vector::{MAX_LANES, Vector, vectorized};

/// Channels of a block. Its sums, and the vectors of its rows, stay in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 3;

/// Values of a tile of both sets. They stay in a core's nearest cache.
const TILE_VALUES: usize = 6 << 10;

/// Sums that a thread has at once; more rows follow one group after the other.
const GROUP_SUMS: usize = 1 << 14;

/// Voxels summed in f32 lanes before the sums continue in f64, as in [`crate::moments`].
const RUN: usize = 4096;

/// Computes `Σ_v rows[r, v] · columns[c, v]`.
///
/// # Shapes
/// - rows: `[r, voxel]`, columns: `[c, voxel]`, with the given numbers of channels
/// - returns: `[r, c]`
#[inline(never)]
pub fn products(rows: Channels, columns: Channels, [r, c]: [usize; 2]) -> Vec<f64> {
    let voxels = rows.len() / r;
    let parts = parallel::parts(0..voxels, parallel::part_len(voxels, RUN));
    let of_parts = parallel::map(parts, |_, part| of_part(rows, columns, [r, c], part));
    let mut total = vec![0.0; r * c];
    for part in of_parts {
        total.iter_mut().zip(part).for_each(|(total, sum)| *total += sum);
    }
    total
}

vectorized! {
    fn of_part(
        rows: Channels,
        columns: Channels,
        counts: [usize; 2],
        range: Range<usize>,
    ) -> Vec<f64> = of_part_by, 1
}

#[inline(always)]
fn of_part_by<V: Vector>(
    rows: Channels,
    columns: Channels,
    [r, c]: [usize; 2],
    range: Range<usize>,
) -> Vec<f64> {
    let mut total = Vec::with_capacity(r * c);
    let group = (GROUP_SUMS / c).next_multiple_of(ROWS).clamp(ROWS, r.next_multiple_of(ROWS));
    for first in (0..r).step_by(group) {
        let own = first..(first + group).min(r);
        total.extend(of_rows::<V>((rows, own), (columns, c), r, range.clone()));
    }
    total
}

/// Computes the sums of some of the rows.
#[inline(always)]
fn of_rows<V: Vector>(
    (rows, own): (Channels, Range<usize>),
    (columns, c): (Channels, usize),
    all_rows: usize,
    range: Range<usize>,
) -> Vec<f64> {
    let (r, voxels) = (own.len(), columns.len() / c);
    debug_assert_eq!(rows.len() / all_rows, voxels);
    let stride = (TILE_VALUES / (r + c)).clamp(MAX_LANES, 512).next_multiple_of(MAX_LANES);
    let (mut row_tile, mut column_tile) = (vec![0.0; r * stride], vec![0.0; c * stride]);
    let mut sums = vec![[[V::splat(0.0); COLUMNS]; ROWS]; r.div_ceil(ROWS) * c.div_ceil(COLUMNS)];
    let mut total = vec![0.0; r * c];
    for run in parallel::parts(range, RUN) {
        for start in run.clone().step_by(stride) {
            let len = stride.min(run.end - start);
            load(rows, own.start, voxels, start, len, &mut row_tile, stride);
            load(columns, 0, voxels, start, len, &mut column_tile, stride);
            add_tile(&row_tile, &column_tile, [r, c], stride, len, &mut sums);
        }
        for (n, sums) in sums.iter_mut().enumerate() {
            let first = [n / c.div_ceil(COLUMNS) * ROWS, n % c.div_ceil(COLUMNS) * COLUMNS];
            for (row, sums) in (first[0]..r).zip(&*sums) {
                for (column, sum) in (first[1]..c).zip(sums) {
                    total[row * c + column] += f64::from(sum.sum());
                }
            }
            *sums = [[V::splat(0.0); COLUMNS]; ROWS];
        }
    }
    total
}

/// Copies voxels of the channels from `first` on into a tile. The rest of the last vector becomes 0.
#[inline(always)]
fn load(
    x: Channels,
    first: usize,
    voxels: usize,
    start: usize,
    len: usize,
    tile: &mut [f32],
    stride: usize,
) {
    for (n, tile) in tile.chunks_exact_mut(stride).enumerate() {
        x.channel(first + n, voxels).load(&mut tile[..len], start);
        tile[len..len.next_multiple_of(MAX_LANES)].fill(0.0);
    }
}

/// Adds the products of a tile to the sums of every block.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // array functions are not always inlined
fn add_tile<V: Vector>(
    rows: &[f32],
    columns: &[f32],
    [r, c]: [usize; 2],
    stride: usize,
    len: usize,
    sums: &mut [[[V; COLUMNS]; ROWS]],
) {
    let len = len.next_multiple_of(MAX_LANES);
    for (n, block) in sums.iter_mut().enumerate() {
        let first = [n / c.div_ceil(COLUMNS) * ROWS, n % c.div_ceil(COLUMNS) * COLUMNS];
        // Beyond the last channel it is repeated.
        let mut row = [0; ROWS];
        for n in 0..ROWS {
            row[n] = (first[0] + n).min(r - 1) * stride;
        }
        let mut column = [0; COLUMNS];
        for n in 0..COLUMNS {
            column[n] = (first[1] + n).min(c - 1) * stride;
        }
        assert!(rows.len() >= row[ROWS - 1] + len && columns.len() >= column[COLUMNS - 1] + len);
        let mut sums = *block;
        for at in (0..len).step_by(V::LANES) {
            let mut x = [V::splat(0.0); ROWS];
            for n in 0..ROWS {
                // SAFETY: `len` is a multiple of the lanes, and that many values follow the start of
                // the last channel, as asserted above, and so of each before it.
                x[n] = unsafe { V::load_unchecked(rows, row[n] + at) };
            }
            for n in 0..COLUMNS {
                // SAFETY: the same.
                let y = unsafe { V::load_unchecked(columns, column[n] + at) };
                for row in 0..ROWS {
                    sums[row][n] = x[row].mul_add(y, sums[row][n]);
                }
            }
        }
        *block = sums;
    }
}
