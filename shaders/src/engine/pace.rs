//! How much work a submission holds: what the GPU does in a moment, by what it did before.

use std::time::Duration;

/// What a submission should take. Two are in flight, so that a GPU does not wait between them; a run
/// that is cancelled waits for both, and the page is drawn by the same GPU in between.
const MOMENT: Duration = Duration::from_millis(40);

/// Multiply-adds and values moved of the first submission: a moment of a software GPU.
const FIRST_COST: u64 = 1 << 24;

/// No submission holds more: with fast GPUs it is the number of submissions that matters no longer.
const MOST_COST: u64 = 1 << 34;

/// No submission is given more than so many times what the one before was: a kernel that ran well says
/// little of the next.
const GROWTH: u64 = 2;

/// The size of the next submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    cost: u64,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { cost: FIRST_COST }
    }

    /// The cost of the next submission, which is a step at least.
    pub fn cost(self) -> u64 {
        self.cost
    }

    /// Learns that `cost` took the GPU so long.
    pub fn learn(&mut self, cost: u64, took: Duration) {
        let in_a_moment = cost as f64 * MOMENT.as_secs_f64() / took.as_secs_f64().max(1e-6);
        let most = (self.cost * GROWTH).min(MOST_COST);
        self.cost = (in_a_moment as u64).clamp(1, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Submissions of a GPU that does so much in a second, and the longest of them after the first few.
    fn settled(cost_a_second: u64) -> (Pace, Duration) {
        let (mut pace, mut longest) = (Pace::new(), Duration::ZERO);
        for n in 0..40 {
            let took = Duration::from_secs_f64(pace.cost() as f64 / cost_a_second as f64);
            if n >= 20 {
                longest = longest.max(took);
            }
            pace.learn(pace.cost(), took);
        }
        (pace, longest)
    }

    #[test]
    fn a_submission_takes_a_moment_on_slow_and_fast_gpus() {
        for cost_a_second in [1 << 20, 1 << 27, 1 << 30, 1 << 36] {
            let (_, longest) = settled(cost_a_second);
            assert!(longest <= 2 * MOMENT && longest >= MOMENT / 2, "{cost_a_second}: {longest:?}");
        }
    }

    #[test]
    fn a_submission_stays_within_bounds() {
        assert_eq!(settled(u64::MAX).0.cost(), MOST_COST);
        let mut pace = Pace::new();
        pace.learn(1, Duration::from_secs(3600));
        assert_eq!(pace.cost(), 1);
        pace.learn(1 << 30, Duration::ZERO);
        assert_eq!(pace.cost(), GROWTH);
    }
}
