//! The bar that shows a length in millimeters.

/// Returns the longest round length in mm (1, 2 or 5 times a power of ten) whose bar has at most `most`
/// points, for a scale of `points_per_mm`. `None` without a scale.
pub fn bar_length_mm(points_per_mm: f64, most: f64) -> Option<f64> {
    let longest = most / points_per_mm;
    if !(longest.is_finite() && longest > 0.0) {
        return None;
    }
    let power = 10f64.powf(longest.log10().floor());
    let length = [5.0, 2.0].into_iter().map(|times| times * power).find(|&mm| mm <= longest);
    Some(length.unwrap_or(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_the_longest_round_length_that_fits() {
        assert_eq!(bar_length_mm(2.0, 120.0), Some(50.0));
        assert_eq!(bar_length_mm(2.0, 99.0), Some(20.0));
        assert_eq!(bar_length_mm(30.0, 120.0), Some(2.0));
        assert_eq!(bar_length_mm(100.0, 120.0), Some(1.0));
        let small = bar_length_mm(700.0, 120.0).unwrap();
        assert!((small - 0.1).abs() < 1e-12);
        assert_eq!(bar_length_mm(0.0, 120.0), None);
    }
}
