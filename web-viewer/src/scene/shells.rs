//! Which regions are drawn as shells, through which others are seen.

/// Returns for each region, given its lowest and highest coordinates, whether it surrounds another one:
/// the box of the other lies within its own. Regions without a surface have no box.
pub fn outer_regions(boxes: &[Option<[[f32; 3]; 2]>]) -> Vec<bool> {
    let holds = |[low, high]: [[f32; 3]; 2], [inner_low, inner_high]: [[f32; 3]; 2]| {
        (0..3).all(|axis| low[axis] <= inner_low[axis] && inner_high[axis] <= high[axis])
    };
    let is_outer = |(n, outer): (usize, &Option<[[f32; 3]; 2]>)| {
        let Some(outer) = outer else { return false };
        boxes.iter().enumerate().any(|(m, inner)| {
            // Of two equal boxes the later is the inner one, as in the slices.
            inner.is_some_and(|inner| m != n && holds(*outer, inner) && (inner != *outer || m > n))
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
        assert_eq!(outer_regions(&[whole, whole, None]), [true, false, false]);
        assert_eq!(outer_regions(&[bounds(0.0, 4.0), bounds(3.0, 9.0)]), [false, false]);
        assert_eq!(outer_regions(&[]), [false; 0]);
    }
}
