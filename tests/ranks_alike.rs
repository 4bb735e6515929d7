//! All ranks make the same decisions: whether a step is skipped because its values overflow is
//! decided from sums that every rank has.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use burn::tensor::Tensor;
use trainer_data::patches::Batch;
use trainer_run::config::{Float, LossKind, TrainConfig};
use trainer_train::parallel::{Ranks, Reducer, Wrap};

use crate::parallel::{Stepped, config, cpus, stepped, stepped_on};

/// A reducer that records the number of values that each rank adds to every sum.
struct Kept {
    inner: Arc<dyn Reducer>,
    sums: Arc<Mutex<Vec<Vec<usize>>>>,
}

impl Kept {
    fn keep(&self, count: usize) {
        self.sums.lock().unwrap()[self.rank()].push(count);
    }
}

impl Reducer for Kept {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn num_ranks(&self) -> usize {
        self.inner.num_ranks()
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()> {
        self.keep(numbers.len());
        self.inner.sum_numbers(numbers)
    }

    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>> {
        self.keep(values.shape().num_elements());
        self.inner.sum(values)
    }
}

/// Replaces a value of one sample.
fn spoil(case: &'static str, value: f32) -> impl Fn(&mut Batch) + Sync {
    move |batch: &mut Batch| {
        if let Some(sample) = batch.cases.iter().position(|found| found == case) {
            let length = batch.values.len() / batch.cases.len();
            batch.values[sample * length..(sample + 1) * length].fill(value);
        }
    }
}

/// NCCL does not notice that ranks compute different sums. It waits, or adds unrelated values.
/// Here two groups of two ranks share a batch each, and one batch has a NaN.
#[test]
fn all_ranks_are_in_the_same_sum_until_the_case_is_named() {
    let config = config(2, 2, LossKind::DiceCe);
    let sums = Arc::new(Mutex::new(vec![Vec::new(); 4]));
    let Ranks::Threads(places, _) = cpus(4) else { unreachable!("named by --devices") };
    let kept = sums.clone();
    let wrap: Wrap = Arc::new(move |inner| Arc::new(Kept { inner, sums: kept.clone() }));
    let ranks = Ranks::Threads(places, Some(wrap));
    // In the second step the first group has samples 4 and 5, the second group samples 6 and 7.
    let error = stepped_on(&ranks, &config, 3, spoil("case 6", f32::NAN)).err().unwrap();
    let error = error.to_string();
    assert!(error.starts_with("rank 2 (cpu): the loss is no longer"), "{error}");
    assert!(error.contains("step 2 on patches of case 6:"), "{error}");
    let sums = sums.lock().unwrap();
    let longest = sums.iter().max_by_key(|sums| sums.len()).unwrap();
    for (rank, sums) in sums.iter().enumerate() {
        let both = sums.iter().zip(longest);
        assert!(
            both.clone().all(|(own, other)| own == other),
            "rank {rank}: {sums:?}, {longest:?}"
        );
        assert!(sums.len() + 1 >= longest.len(), "rank {rank} is not there: {sums:?}, {longest:?}");
    }
}

fn in_f16(batch: usize, accumulate: usize) -> TrainConfig {
    TrainConfig {
        precision: Float::F16,
        // Streams in f16 round what ranks sum in another order: their weights part sooner.
        stream: Some(Float::F32),
        ..config(batch, accumulate, LossKind::DiceCe)
    }
}

/// Returns the numbers of the skipped steps.
fn skipped(rank: &Stepped) -> Vec<bool> {
    rank.reports.iter().map(|report| report.skipped.is_some()).collect()
}

/// Returns the distance of two ranks' weights, relative to the change from the weights `before`
/// training.
fn apart(one: &Stepped, many: &Stepped, start: &Stepped) -> f64 {
    let length = |a: &Stepped, b: &Stepped| -> f64 {
        let arrays = a.weights[0].iter().zip(b.weights[0].values());
        let values = arrays.flat_map(|((_, a), b)| a.values.iter().zip(&b.values));
        values.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    length(one, many) / length(one, start)
}

/// If ranks share a batch, its loss is NaN on all of them. If each rank has its own batch, only the
/// rank with the changed sample finds a NaN in its gradient.
#[test]
fn ranks_in_f16_skip_the_steps_of_one_device_and_go_where_it_goes() {
    for (batch, accumulate, all_ranks) in [(6, 1, vec![2, 3]), (3, 2, vec![2]), (2, 3, vec![3])] {
        let config = in_f16(batch, accumulate);
        let start = stepped(&config, 1, 0, |_| ()).unwrap().remove(0);
        // In the third step.
        let spoilt = || spoil("case 15", f32::MAX);
        let one = stepped(&config, 1, 6, spoilt()).unwrap().remove(0);
        assert!(skipped(&one)[2] && !skipped(&one)[5], "{:?}", skipped(&one));
        for num_ranks in all_ranks {
            let what = format!("{accumulate} batches of {batch} on {num_ranks}");
            let many = stepped(&config, num_ranks, 6, spoilt()).unwrap();
            for rank in &many {
                assert_eq!(skipped(rank), skipped(&one), "{what}");
                assert_eq!(rank.loss_scale, one.loss_scale, "{what}");
                assert!(rank.weights == many[0].weights && rank.moments == many[0].moments);
                let norms = |rank: &Stepped| -> Vec<u64> {
                    rank.reports.iter().map(|report| report.gradient_norm.to_bits()).collect()
                };
                assert_eq!(norms(rank), norms(&many[0]), "{what}");
            }
            let apart = apart(&one, &many[0], &start);
            assert!(apart < 0.03, "{what}: {apart}");
        }
    }
}

/// A bad batch invalidates the whole step, and leaves nothing behind for the next step.
#[test]
fn one_of_several_batches_that_leaves_the_range_of_f16_skips_their_step_alone() {
    let config = in_f16(2, 3);
    for value in [f32::MAX, f32::NAN] {
        for num_ranks in [1, 2, 3] {
            let changed = |steps: usize, spoilt: &'static str| {
                stepped(&config, num_ranks, steps, spoil(spoilt, value)).unwrap().remove(0)
            };
            let what = format!("{value} on {num_ranks} ranks");
            // The second step has samples 6 to 11.
            let (before, after) = (changed(1, "case 9"), changed(2, "case 9"));
            assert_eq!(after.loss_scale.skipped, before.loss_scale.skipped + 1, "{what}");
            assert!(after.weights == before.weights && after.moments == before.moments, "{what}");
            let next = changed(3, "case 9");
            assert_eq!(next.loss_scale.skipped, after.loss_scale.skipped, "{what}");
            let report = &next.reports[2];
            assert!(report.gradient_norm.is_finite() && report.report.loss.is_finite(), "{what}");
            assert!(next.weights != after.weights, "{what}");
        }
    }
}
