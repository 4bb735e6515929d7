//! Ranks that are threads of one process add up in its memory, in the order of their numbers: the
//! sums are the same each time.

use std::any::Any;
use std::ops::AddAssign;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use anyhow::{Result, ensure};
use burn::tensor::{Tensor, TensorData};

use super::{RankFailed, Reducer};
use crate::adam::numbers;

/// Where the ranks of a process meet.
pub(super) struct Barrier {
    devices: Vec<String>,
    state: Mutex<State>,
    /// A meeting is over, or a rank has failed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Meetings that are over.
    met: usize,
    /// What each rank brought to this one, a vector of numbers of some type.
    brought: Vec<Option<Box<dyn Any + Send>>>,
    /// The sums of the last one; they stay until the next is over, which needs every rank.
    sums: Option<Arc<dyn Any + Send + Sync>>,
    failure: Option<RankFailed>,
}

/// One rank's place in a meeting.
pub(super) struct Host {
    pub meeting: Arc<Barrier>,
    pub rank: usize,
}

impl Barrier {
    /// Of ranks that compute on these devices.
    pub fn of(devices: Vec<String>) -> Arc<Barrier> {
        let brought = devices.iter().map(|_| None).collect();
        let state = Mutex::new(State { brought, ..State::default() });
        Arc::new(Barrier { devices, state, changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this")
    }

    /// Ends the meetings: every rank that waits, and each that comes, is told who failed first.
    pub fn fail(&self, rank: usize, message: String) {
        let device = self.devices[rank].clone();
        self.state().failure.get_or_insert(RankFailed { rank, device, message });
        self.changed.notify_all();
    }

    /// Who failed first, where a rank did.
    pub fn failure(&self) -> Option<RankFailed> {
        self.state().failure.clone()
    }

    /// The sums of what all ranks bring, once all have.
    fn meet<T>(&self, rank: usize, values: Vec<T>) -> Result<Arc<Vec<T>>>
    where
        T: Copy + AddAssign + Send + Sync + 'static,
    {
        let mut state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.clone().into());
        }
        let met = state.met;
        state.brought[rank] = Some(Box::new(values));
        if state.brought.iter().all(Option::is_some) {
            let all = state.brought.iter_mut().map(|values| values.take().expect("just seen"));
            state.sums = Some(Arc::new(sums::<T>(all.collect())?));
            state.met += 1;
            self.changed.notify_all();
        }
        while state.met == met {
            if let Some(failure) = &state.failure {
                return Err(failure.clone().into());
            }
            state = self.changed.wait(state).expect("no thread panics while it holds this");
        }
        let sums = state.sums.clone().expect("a meeting was over");
        sums.downcast().map_err(|_| anyhow::anyhow!("{UNLIKE}"))
    }
}

const UNLIKE: &str = "expected all ranks to add up the same, found another on one";

/// Sums in the order of the ranks.
fn sums<T: Copy + AddAssign + 'static>(all: Vec<Box<dyn Any + Send>>) -> Result<Vec<T>> {
    let mut all = all.into_iter().map(|values| values.downcast::<Vec<T>>());
    let mut sums = match all.next() {
        Some(Ok(first)) => *first,
        _ => anyhow::bail!("{UNLIKE}"),
    };
    for values in all {
        let values = values.map_err(|_| anyhow::anyhow!("{UNLIKE}"))?;
        ensure!(values.len() == sums.len(), "{UNLIKE}: {} and {}", sums.len(), values.len());
        sums.iter_mut().zip(*values).for_each(|(sum, value)| *sum += value);
    }
    Ok(sums)
}

impl Reducer for Host {
    fn rank(&self) -> usize {
        self.rank
    }

    fn num_ranks(&self) -> usize {
        self.meeting.devices.len()
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()> {
        numbers.copy_from_slice(&self.meeting.meet(self.rank, numbers.to_vec())?);
        Ok(())
    }

    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>> {
        let device = values.device();
        let sums = self.meeting.meet(self.rank, numbers(values))?;
        let count = sums.len();
        Ok(Tensor::from_data(TensorData::new(sums.to_vec(), [count]), &device))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::thread;

    /// Ranks of this process.
    pub(in crate::parallel) fn meeting(num_ranks: usize) -> Vec<Host> {
        let meeting = Barrier::of(vec!["cpu".into(); num_ranks]);
        (0..num_ranks).map(|rank| Host { meeting: meeting.clone(), rank }).collect()
    }

    /// In f32, 1e8 + 1 is 1e8: the order of the sum shows.
    #[test]
    fn sums_have_one_order_whoever_comes_first() {
        let device = burn::tensor::Device::flex();
        for late in 0..3 {
            let summed = thread::scope(|scope| {
                let ranks = meeting(3).into_iter().zip([1.0f32, 1e8, -1e8]);
                let ranks = ranks.map(|(reducer, value)| {
                    let device = &device;
                    scope.spawn(move || {
                        if reducer.rank() == late {
                            thread::sleep(std::time::Duration::from_millis(20));
                        }
                        let mut count = [1.0, value.into()];
                        reducer.sum_numbers(&mut count).unwrap();
                        let sum = reducer.sum(Tensor::from_data([value], device)).unwrap();
                        (count, numbers(sum))
                    })
                });
                let ranks: Vec<_> = ranks.collect();
                ranks.into_iter().map(|rank| rank.join().unwrap()).collect::<Vec<_>>()
            });
            assert!(summed.iter().all(|sums| *sums == ([3.0, 1.0], vec![0.0])), "{summed:?}");
        }
    }

    #[test]
    fn who_waits_is_told_who_failed() {
        let meeting = Barrier::of(vec!["cuda:0".into(), "cuda:1".into()]);
        let rank = Host { meeting: meeting.clone(), rank: 0 };
        let error = thread::scope(|scope| {
            let waits = scope.spawn(|| rank.sum_numbers(&mut [1.0]).unwrap_err());
            thread::sleep(std::time::Duration::from_millis(20));
            meeting.fail(1, "no memory left".into());
            meeting.fail(0, "told by rank 1".into());
            waits.join().unwrap()
        });
        assert_eq!(error.to_string(), "rank 1 (cuda:1): no memory left");
        assert!(rank.sum_numbers(&mut []).is_err());
    }
}
