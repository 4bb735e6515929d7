//! First level of a reduction: sums over the units of a cube.

// CubeCL needs these forms of loops and sums.
#![allow(clippy::assign_op_pattern)]

use cubecl::prelude::*;

use super::UNITS;

/// Sums over the units of a cube; the first unit receives the sum. All units must call it.
#[cube]
pub(in super::super) fn sum_units(value: f32) -> f32 {
    let unit = UNIT_POS as usize;
    let mut sums = Shared::<[f32]>::new_slice(UNITS);
    sums[unit] = value;
    sync_cube();
    #[unroll]
    for halving in 1..=comptime![UNITS.ilog2()] {
        let width = comptime![UNITS >> halving];
        if unit < width {
            sums[unit] = sums[unit] + sums[unit + width];
        }
        sync_cube();
    }
    sums[0]
}
