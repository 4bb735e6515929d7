//! Scores over cases.

/// A region's scores over cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Number of cases with a score.
    pub n: usize,
    /// Their mean; NaN for none.
    pub mean: f64,
    /// Their median; NaN for none.
    pub median: f64,
    /// Their standard deviation, as of a sample; NaN for fewer than two.
    pub deviation: f64,
    /// The least; NaN for none.
    pub least: f64,
    /// The most; NaN for none.
    pub most: f64,
}

impl Summary {
    /// Of scores, leaving out those that are NaN: only an empty reference has no score, never a
    /// missed lesion.
    pub fn of(scores: &[f64]) -> Self {
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
        Summary { n, mean, median, deviation, least: end(scores.first()), most: end(scores.last()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_leaves_out_only_what_has_no_score() {
        let summary = Summary::of(&[0.0, f64::NAN, 1.0, 0.5]);
        assert_eq!((summary.n, summary.mean, summary.median), (3, 0.5, 0.5));
        assert_eq!((summary.deviation, summary.least, summary.most), (0.5, 0.0, 1.0));
        assert!(Summary::of(&[]).mean.is_nan() && Summary::of(&[]).most.is_nan());
    }
}
