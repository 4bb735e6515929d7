//! Sizes submissions so that each takes about the same time on any GPU.

use web_time::{Duration, Instant};

use crate::plan::Step;

/// Target duration of a submission. Two are in flight: a page waits for at most one before it can
/// draw, and a canceled run ends after at most two.
const TARGET: Duration = Duration::from_millis(50);

/// Cost of the first submission, suited to a GPU a hundred times slower than an integrated one.
const FIRST: u64 = 1 << 24;

/// Bounds of a submission's cost, in the units of [`Step`](crate::Step). The lower bound suits a
/// software GPU; with the upper bound a GPU of 10¹² per second still responds quickly.
const BOUNDS: [u64; 2] = [1 << 22, 1 << 36];

/// Largest factor by which the cost changes between submissions: cost is a rough measure of time,
/// and the wall clock includes other work of the machine.
const MOST_GROWTH: u64 = 2;
const MOST_SHRINKAGE: u64 = 4;

/// The size of submissions, adapted to the durations of the last ones.
#[derive(Debug)]
pub struct Pace {
    cost: u64,
    bounds: [u64; 2],
    /// End of the last submission; the next one cannot have begun earlier.
    free_at: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { cost: FIRST, bounds: BOUNDS, free_at: None }
    }
}

impl Pace {
    /// Submits one step at a time, whatever it costs.
    pub fn one_step() -> Pace {
        Pace { cost: 0, bounds: [0; 2], free_at: None }
    }

    /// Returns the largest cost of the next submission. A step that costs more is submitted alone.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Records a finished submission: its cost, and when it was submitted and done.
    pub fn done(&mut self, cost: u64, given_at: Instant, done_at: Instant) {
        let began_at = self.free_at.map_or(given_at, |free_at| free_at.max(given_at));
        self.free_at = Some(done_at);
        // A browser's clock is coarse.
        let elapsed = (done_at - began_at).max(Duration::from_micros(100));
        let wanted = (cost as f64 * TARGET.as_secs_f64() / elapsed.as_secs_f64()) as u64;
        let is_full = cost >= self.cost / 2;
        // A submission that mostly waited says nothing about the work.
        if wanted > self.cost && is_full {
            self.cost = wanted.min(self.cost.saturating_mul(MOST_GROWTH));
        } else if wanted < self.cost && elapsed > TARGET {
            self.cost = wanted.max(self.cost / MOST_SHRINKAGE);
        }
        self.cost = self.cost.clamp(self.bounds[0], self.bounds[1]);
    }
}

/// Returns the end of the batch that begins at `start`: at least one step, with a total cost of at
/// most `most`.
pub fn batch_end(steps: &[Step], start: usize, most: u64) -> usize {
    let mut cost = 0;
    for (n, step) in steps[start..].iter().enumerate() {
        cost += step.cost;
        if n > 0 && cost > most {
            return start + n;
        }
    }
    steps.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates submissions to a GPU of `rate` cost units per second, two in flight, and returns
    /// their durations in milliseconds. `costs` returns the actual cost for a limit.
    fn run(pace: &mut Pace, rate: f64, count: usize, costs: impl Fn(u64) -> u64) -> Vec<f64> {
        let mut now = pace.free_at.unwrap_or_else(Instant::now);
        let mut in_flight = std::collections::VecDeque::new();
        let mut times = Vec::new();
        for _ in 0..count {
            in_flight.push_back((costs(pace.cost()), now));
            if in_flight.len() == 2 {
                let (cost, given_at) = in_flight.pop_front().unwrap();
                let took = Duration::from_secs_f64(cost as f64 / rate);
                now += took;
                pace.done(cost, given_at, now);
                times.push(1e3 * took.as_secs_f64());
            }
        }
        times
    }

    #[test]
    fn slow_and_fast_gpus_come_to_submissions_of_the_same_time() {
        // From software to the fastest GPUs.
        for rate in [2e8, 1e9, 1e10, 1e11, 1e12] {
            let mut pace = Pace::default();
            let times = run(&mut pace, rate, 40, |most| most);
            assert!(times[20..].iter().all(|ms| (45.0..=55.0).contains(ms)), "{rate}: {times:?}");
            assert!(times.iter().all(|&ms| ms < 100.0), "{rate}: {times:?}");
        }
    }

    #[test]
    fn the_pace_follows_a_gpu_that_slows_down_and_recovers() {
        let mut pace = Pace::default();
        run(&mut pace, 1e11, 40, |most| most);
        let slower = run(&mut pace, 1e9, 20, |most| most);
        assert!(slower[0] > 4000.0 && slower[8..].iter().all(|&ms| ms < 55.0), "{slower:?}");
        let faster = run(&mut pace, 1e11, 20, |most| most);
        assert!(faster[0] < 1.0 && faster[12..].iter().all(|&ms| ms > 45.0), "{faster:?}");
    }

    #[test]
    fn the_pace_stays_within_bounds_whatever_the_clock_says() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for n in 0..100 {
            pace.done(pace.cost(), now, now);
            assert!(n < 50 || pace.cost() == BOUNDS[1]);
        }
        for n in 0..100 {
            let hour = Duration::from_secs(3600);
            pace.done(pace.cost(), now + n * hour, now + (n + 1) * hour);
            assert!(n < 50 || pace.cost() == BOUNDS[0]);
        }
        let mut pace = Pace::one_step();
        for cost in [0, 1, u64::MAX] {
            pace.done(cost, now, now + TARGET);
            assert_eq!(pace.cost(), 0);
        }
    }

    /// A cheap step before an expensive one is submitted alone and takes the time of a round trip.
    #[test]
    fn a_submission_that_was_mostly_waiting_does_not_slow_the_next() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let before = pace.cost();
        pace.done(1000, now, now + TARGET / 2);
        assert_eq!(pace.cost(), before);
    }

    /// A small submission shows that more would have fitted, not that less should be submitted.
    #[test]
    fn a_step_that_costs_more_than_asked_for_tells_the_rate_too() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let before = pace.cost();
        pace.done(8 * before, now, now + 2 * TARGET);
        assert_eq!(pace.cost(), 2 * before);
    }
}
