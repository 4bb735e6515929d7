//! Summarizes scores over cases.

/// A summary of a region's scores over cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The number of cases with a score.
    pub n: usize,
    /// The mean; NaN without a score.
    pub mean: f64,
    /// The median; NaN without a score.
    pub median: f64,
    /// The sample standard deviation; NaN for fewer than two scores.
    pub deviation: f64,
    /// The lowest score; NaN without a score.
    pub min: f64,
    /// The highest score; NaN without a score.
    pub max: f64,
}

impl Summary {
    /// Summarizes scores without those that are NaN. Only cases with an empty reference have no score,
    /// never cases with a missed lesion.
    pub fn from_scores(scores: &[f64]) -> Self {
        let mut scores: Vec<f64> = scores.iter().copied().filter(|s| !s.is_nan()).collect();
        scores.sort_by(f64::total_cmp);
        let n = scores.len();
        let mean = scores.iter().sum::<f64>() / n as f64;
        let median = match n {
            0 => f64::NAN,
            _ => (scores[(n - 1) / 2] + scores[n / 2]) / 2.0,
        };
        let squares: f64 = scores.iter().map(|s| (s - mean) * (s - mean)).sum();
        let deviation = if n < 2 { f64::NAN } else { (squares / (n - 1) as f64).sqrt() };
        let end = |score: Option<&f64>| score.copied().unwrap_or(f64::NAN);
        Summary { n, mean, median, deviation, min: end(scores.first()), max: end(scores.last()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_only_omits_cases_without_a_score() {
        let summary = Summary::from_scores(&[0.0, f64::NAN, 1.0, 0.5]);
        assert_eq!((summary.n, summary.mean, summary.median), (3, 0.5, 0.5));
        assert_eq!((summary.deviation, summary.min, summary.max), (0.5, 0.0, 1.0));
        assert!(Summary::from_scores(&[]).mean.is_nan() && Summary::from_scores(&[]).max.is_nan());
    }
}
