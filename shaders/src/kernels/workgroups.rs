//! Numbers of workgroups, and the division of work into dispatches.

use std::ops::Range;

/// Invocations per workgroup.
pub(super) const WORKGROUP_SIZE: usize = 64;

/// Largest number of workgroups along an axis (WebGPU's default limit).
pub const MAX_WORKGROUPS: u32 = 65_535;

/// Returns the workgroups for `num_invocations` of each of `rows`. Beyond the limit of an axis x
/// continues in z; kernels undo this by `(group.z * groups.x + group.x)`.
pub fn spread(num_invocations: usize, rows: usize) -> [u32; 3] {
    let groups = num_invocations.div_ceil(WORKGROUP_SIZE).max(1) as u32;
    let z = groups.div_ceil(MAX_WORKGROUPS);
    [groups.div_ceil(z), rows as u32, z]
}

/// Splits `0..rows` into ranges that cost at most `max_cost`, if a row costs `row_cost`; at least
/// one row each.
pub fn split_by_cost(
    rows: usize,
    row_cost: u64,
    max_cost: u64,
) -> impl Iterator<Item = Range<usize>> {
    let step = (max_cost / row_cost.max(1)).clamp(1, rows.max(1) as u64) as usize;
    (0..rows).step_by(step).map(move |start| start..(start + step).min(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workgroups_stay_within_the_limit_of_an_axis() {
        for num in [1, 63, 64, 65, 64 * 65_535, 64 * 65_535 + 1, 33_554_432] {
            let [x, _, z] = spread(num, 1);
            assert!(
                x <= MAX_WORKGROUPS && (x * z) as usize * WORKGROUP_SIZE >= num,
                "{num}: {x} {z}"
            );
        }
    }

    #[test]
    fn ranges_cover_every_row_once() {
        let rows: Vec<usize> = split_by_cost(7, 10, 25).flatten().collect();
        assert_eq!(rows, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(split_by_cost(3, 100, 25).count(), 3);
    }
}
