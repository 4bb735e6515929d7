//! Which regions are drawn as shells, through which others are seen.

use std::cmp::Ordering;

use glam::Vec3;

/// The part of a region's extent by which another one may stick out of it and still count as inside:
/// surfaces are smoothed, and of two that touch the inner one may lie farther out.
const STICKING_OUT: f32 = 0.05;

/// Returns for each region, given its lowest and highest coordinates, whether it surrounds another one:
/// the box of the other is smaller and lies within its own. Regions without a surface have no box.
pub fn outer_regions(boxes: &[Option<[[f32; 3]; 2]>]) -> Vec<bool> {
    let extent = |[low, high]: [[f32; 3]; 2]| Vec3::from(low).distance(high.into());
    let holds = |outer: [[f32; 3]; 2], inner: [[f32; 3]; 2]| {
        let margin = STICKING_OUT * extent(outer);
        (0..3).all(|axis| {
            outer[0][axis] - margin <= inner[0][axis] && inner[1][axis] <= outer[1][axis] + margin
        })
    };
    let is_outer = |(n, outer): (usize, &Option<[[f32; 3]; 2]>)| {
        let Some(outer) = *outer else { return false };
        boxes.iter().enumerate().any(|(m, inner)| {
            inner.is_some_and(|inner| {
                // Of two equal boxes the later is the inner one, as in the slices.
                let is_smaller = match extent(inner).total_cmp(&extent(outer)) {
                    Ordering::Equal => m > n,
                    order => order.is_lt(),
                };
                is_smaller && holds(outer, inner)
            })
        })
    };
    boxes.iter().enumerate().map(is_outer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_around_another_is_a_shell() {
        let bounds = |low: f32, high: f32| Some([[low; 3], [high; 3]]);
        let whole = bounds(0.0, 9.0);
        assert_eq!(outer_regions(&[whole, bounds(1.0, 5.0)]), [true, false]);
        assert_eq!(outer_regions(&[bounds(1.0, 5.0), whole]), [false, true]);
        // A little outside, as smoothed surfaces that touch.
        assert_eq!(outer_regions(&[whole, bounds(6.0, 9.2)]), [true, false]);
        assert_eq!(outer_regions(&[whole, whole, None]), [true, false, false]);
        assert_eq!(outer_regions(&[bounds(0.0, 4.0), bounds(3.0, 9.0)]), [false, false]);
        assert_eq!(outer_regions(&[]), [false; 0]);
    }
}
