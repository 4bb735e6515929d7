//! Ranks that are threads of one process sum in its memory, in the order of their numbers, so that
//! the sums do not depend on timing.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use burn::tensor::{Tensor, TensorData};

use super::Reducer;
use super::failure::FirstFailure;
use crate::adam::numbers;

/// Time between two looks at whether a rank has failed.
const FAILURE_INTERVAL: Duration = Duration::from_millis(10);

/// The values that the ranks of a process bring to a sum.
pub(super) struct Barrier {
    state: Mutex<State>,
    sum_done: Condvar,
}

struct State {
    num_sums: usize,
    /// For each rank that has come to the next sum, its values.
    values: Vec<Option<Vec<f64>>>,
    /// The last sum. It stays until the next one is done, which needs every rank.
    sum: Arc<Vec<f64>>,
}

/// The reducer of one rank.
pub(super) struct HostReducer {
    pub barrier: Arc<Barrier>,
    pub failure: Arc<FirstFailure>,
    pub rank: usize,
}

impl Barrier {
    pub fn new(num_ranks: usize) -> Arc<Barrier> {
        let state = State { num_sums: 0, values: vec![None; num_ranks], sum: Arc::default() };
        Arc::new(Barrier { state: Mutex::new(state), sum_done: Condvar::new() })
    }
}

impl HostReducer {
    /// Returns the sums over all ranks as soon as all have called it.
    fn sum_by(&self, add: fn(f64, f64) -> f64, values: Vec<f64>) -> Result<Arc<Vec<f64>>> {
        self.failure.check()?;
        let Barrier { state, sum_done } = &*self.barrier;
        let mut state = state.lock().expect("no thread panics while it holds this");
        let num_sums = state.num_sums;
        state.values[self.rank] = Some(values);
        if state.values.iter().all(Option::is_some) {
            let mut all = state.values.iter_mut().filter_map(Option::take);
            let mut sum = all.next().expect("at least one rank");
            for values in all {
                let (expected, found) = (sum.len(), values.len());
                ensure!(
                    expected == found,
                    "expected {expected} values on all ranks, found {found}"
                );
                sum.iter_mut().zip(values).for_each(|(sum, value)| *sum = add(*sum, value));
            }
            state.sum = Arc::new(sum);
            state.num_sums += 1;
            sum_done.notify_all();
        }
        while state.num_sums == num_sums {
            self.failure.check()?;
            let waited = sum_done.wait_timeout(state, FAILURE_INTERVAL);
            state = waited.expect("no thread panics while it holds this").0;
        }
        Ok(state.sum.clone())
    }
}

impl Reducer for HostReducer {
    fn rank(&self) -> usize {
        self.rank
    }

    fn num_ranks(&self) -> usize {
        self.barrier.state.lock().expect("no thread panics while it holds this").values.len()
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()> {
        numbers.copy_from_slice(&self.sum_by(|a, b| a + b, numbers.to_vec())?);
        Ok(())
    }

    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>> {
        let device = values.device();
        let values = numbers(values).into_iter().map(f64::from).collect();
        // Rounded to f32 after each rank, as a sum on the device is.
        let sum = self.sum_by(|a, b| f64::from(a as f32 + b as f32), values)?;
        let sum: Vec<f32> = sum.iter().map(|value| *value as f32).collect();
        Ok(Tensor::from_data(TensorData::from(&sum[..]), &device))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::parallel::RankFailed;
    use std::thread;

    /// Runs ranks as threads, and returns their results in order.
    pub(in crate::parallel) fn on_ranks<T: Send>(
        num_ranks: usize,
        run: impl Fn(&HostReducer) -> T + Sync,
    ) -> Vec<T> {
        let (barrier, failure, run) = (Barrier::new(num_ranks), Arc::default(), &run);
        let reducer =
            |rank| HostReducer { barrier: barrier.clone(), failure: Arc::clone(&failure), rank };
        thread::scope(|scope| {
            let ranks = (0..num_ranks).map(reducer);
            let ranks: Vec<_> = ranks.map(|rank| scope.spawn(move || run(&rank))).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    /// In f32, 1e8 + 1 is 1e8: the order of the sum shows.
    #[test]
    fn sums_have_one_order_whichever_rank_comes_first() {
        let device = burn::tensor::Device::flex();
        for late in 0..3 {
            let sums = on_ranks(3, |reducer| {
                if reducer.rank == late {
                    thread::sleep(Duration::from_millis(20));
                }
                let value = [1.0f32, 1e8, -1e8][reducer.rank];
                let mut count = [1.0, value.into()];
                reducer.sum_numbers(&mut count).unwrap();
                (count, numbers(reducer.sum(Tensor::from_data([value], &device)).unwrap()))
            });
            assert!(sums.iter().all(|sums| *sums == ([3.0, 1.0], vec![0.0])), "{sums:?}");
        }
    }

    #[test]
    fn a_waiting_rank_returns_the_first_failure() {
        let errors = on_ranks(2, |reducer| {
            let fail = |rank, message: &str| {
                let (device, message) = (format!("cuda:{rank}"), message.to_string());
                reducer.failure.set(RankFailed { rank, device, message });
            };
            if reducer.rank == 1 {
                thread::sleep(Duration::from_millis(20));
                fail(1, "no memory left");
                fail(0, "ended by rank 1");
            }
            reducer.sum_numbers(&mut [1.0]).unwrap_err().to_string()
        });
        assert_eq!(errors, ["rank 1 (cuda:1): no memory left"; 2]);
    }
}
