//! Several ranks compute as one device with all patches: with the same gradient, the same weights on
//! each rank and a common end. A run can be resumed with any number of ranks.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use trainer_data::patches::BatchShard;

use anyhow::{Result, bail};
use burn::tensor::{Device, Tensor};
use model_core::{Task, Vae, Weights};
use trainer_data::patches::Batch;
use trainer_run::config::{LossKind, TrainConfig};
use trainer_run::reporter::Silent;
use trainer_run::run_folder::Run;
use trainer_train::adam::Moments;
use trainer_train::checkpoint::Checkpoint;
use trainer_train::loss::Loss;
use trainer_train::loss_scale::LossScale;
use trainer_train::parallel::{Ranks, Reducer, Wrap};
use trainer_train::precision::network_precision;
use trainer_train::step::{Learner, StepReport};
use trainer_train::train::{OnFinish, Outcome, TrainJob, train_on};

use crate::training_to_prediction::{column, short, train};

/// Returns ranks on the CPU.
pub(crate) fn cpus(count: usize) -> Ranks {
    Ranks::named(None, Some(&vec!["cpu"; count].join(",")), Path::new("run")).unwrap()
}

/// Returns a batch of noise. The number of a sample determines its values and labels.
fn batch(config: &TrainConfig, number: usize, share: &BatchShard) -> Batch {
    let num_voxels: usize = config.patch.iter().product();
    let samples = share.patches().map(|sample| number * config.batch + sample);
    let value = |sample: usize, n: usize| ((n * 7919 + sample * 31) % 1009) as f32 / 500.0 - 1.0;
    let label = |sample: usize, n: usize| [0, 1, 2, 4][(n / (40 + 90 * sample)) % 4];
    let values = samples.clone().flat_map(|s| (0..4 * num_voxels).map(move |n| value(s, n)));
    let labels = samples.clone().flat_map(|s| (0..num_voxels).map(move |n| label(s, n)));
    let cases = samples.clone().map(|sample| format!("case {sample}")).collect();
    Batch { number, values: values.collect(), labels: labels.collect(), cases }
}

/// A rank after some steps.
pub(crate) struct Stepped {
    pub reports: Vec<StepReport>,
    pub weights: [Weights; 2],
    pub moments: [Moments; 2],
    pub loss_scale: LossScale,
}

/// Runs steps on ranks, and returns the ranks in order. `change` may change a rank's batches.
pub(crate) fn stepped(
    config: &TrainConfig,
    num_ranks: usize,
    steps: usize,
    change: impl Fn(&mut Batch) + Sync,
) -> Result<Vec<Stepped>> {
    stepped_on(&cpus(num_ranks), config, steps, change)
}

/// Runs the steps on the given ranks.
pub(crate) fn stepped_on(
    ranks: &Ranks,
    config: &TrainConfig,
    steps: usize,
    change: impl Fn(&mut Batch) + Sync,
) -> Result<Vec<Stepped>> {
    let task = Task::builtin("brats2021").unwrap();
    let network = config.network(&task).unwrap();
    let found = Mutex::new(Vec::new());
    let run = |reducer: Arc<dyn Reducer>| -> Result<()> {
        let start = Checkpoint::initial(&network, 3);
        let (loss, precision) =
            (Loss::new(&task, config.loss), network_precision(config.precision(&network)?));
        let mut learner =
            Learner::in_precision(&network, precision, loss, start, &Device::flex()).unwrap();
        learner.reducer = reducer.clone();
        let (rank, num_ranks) = (reducer.rank(), reducer.num_ranks());
        let share = BatchShard::new(config.batch, config.accumulate, rank, num_ranks);
        let mut reports = Vec::new();
        for step in 0..steps {
            let all = step * config.accumulate..(step + 1) * config.accumulate;
            let own = share.own(all).map(|own| {
                let mut batch = batch(config, share.number(own), &share);
                change(&mut batch);
                batch
            });
            reports.push(learner.step(config, 1e-3, own.collect())?);
        }
        let weights = [learner.network.weights(), learner.average.weights()];
        let (moments, loss_scale) = (learner.adam.state(), learner.loss_scale);
        found.lock().unwrap().push((rank, Stepped { reports, weights, moments, loss_scale }));
        Ok(())
    };
    ranks.run(run, |reducer, _| run(reducer))?;
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(rank, _)| *rank);
    Ok(found.into_iter().map(|(_, stepped)| stepped).collect())
}

/// Returns the gradient. After the first step Adam's first moment is the gradient times a factor.
fn assert_same_step(one: &Stepped, many: &Stepped, what: &str) {
    let largest = |values: &[f32]| values.iter().fold(0f32, |most, v| most.max(v.abs()));
    let most = one.moments[0].values().map(|values| largest(values)).fold(0.0, f32::max);
    assert!(most > 0.0 && one.moments[0].len() == many.moments[0].len());
    for (name, values) in &one.moments[0] {
        let pairs = values.iter().zip(&many.moments[0][name]);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-5 * most, "{what}, {name}: {worst}, largest {most}");
    }
    let numbers = |stepped: &Stepped| {
        let StepReport { report, branch, gradient_norm, .. } = stepped.reports[0].clone();
        let [a, b] = branch.unwrap_or_default();
        [report.loss, report.cross_entropy, report.dice, a, b, gradient_norm]
    };
    for (one, many) in numbers(one).into_iter().zip(numbers(many)) {
        assert!((one - many).abs() <= 1e-5 * one.abs(), "{what}: {one}, {many}");
    }
}

pub(crate) fn config(batch: usize, accumulate: usize, loss: LossKind) -> TrainConfig {
    TrainConfig { batch, accumulate, loss, patch: [8; 3], ..short() }
}

#[test]
fn ranks_find_the_gradient_of_one_device_whatever_their_shares() {
    let dice = LossKind::DiceCe;
    for (batch, accumulate, loss, all_ranks) in [
        (6, 1, dice, vec![2, 3]),
        (4, 1, dice, vec![3]),
        (5, 1, LossKind::DiceFocal, vec![2, 3]),
        (1, 1, LossKind::Dice, vec![3]), // two of the ranks have nothing
        (1, 4, dice, vec![2]),           // whole batches are dealt out
        (2, 3, dice, vec![2, 3]),
    ] {
        let config = config(batch, accumulate, loss);
        let one = stepped(&config, 1, 1, |_| ()).unwrap();
        for num_ranks in all_ranks {
            let what = format!("{accumulate} batches of {batch} on {num_ranks}");
            for rank in &stepped(&config, num_ranks, 1, |_| ()).unwrap() {
                assert_same_step(&one[0], rank, &what);
            }
        }
    }
}

#[test]
fn a_variational_branch_is_shared_out_too() {
    let mut config = config(3, 1, LossKind::DiceCe);
    config.vae = Some(Vae { units: 4, channels: 4, groups: 2, patch: Some([8; 3]) });
    let one = stepped(&config, 1, 1, |_| ()).unwrap();
    assert!(one[0].reports[0].branch.is_some());
    for rank in &stepped(&config, 2, 1, |_| ()).unwrap() {
        assert_same_step(&one[0], rank, "with a branch");
    }
}

#[test]
fn weights_stay_the_same_on_all_ranks_bit_for_bit() {
    let ranks = stepped(&config(4, 1, LossKind::DiceCe), 3, 4, |_| ()).unwrap();
    for rank in &ranks[1..] {
        assert!(rank.weights == ranks[0].weights && rank.moments == ranks[0].moments);
        assert_eq!(rank.reports, ranks[0].reports);
    }
}

#[test]
fn the_rank_and_the_case_of_a_number_that_is_none_are_named() {
    let spoil = |batch: &mut Batch| {
        if let Some(sample) = batch.cases.iter().position(|case| case == "case 6") {
            let length = batch.values.len() / batch.cases.len();
            batch.values[sample * length] = f32::NAN;
        }
    };
    // The second step has samples 4 to 7. The second rank has sample 6.
    let error = stepped(&config(4, 1, LossKind::DiceCe), 3, 3, spoil).err().unwrap().to_string();
    assert!(error.starts_with("rank 1 (cpu): the loss is no longer a finite number"), "{error}");
    assert!(error.contains("step 2 on patches of case 6:"), "{error}");
}

/// A reducer that calls a function after a rank has summed the gradients of a number of steps.
struct After {
    inner: Arc<dyn Reducer>,
    steps: AtomicUsize,
    happens: Arc<dyn Fn(usize, usize) -> Result<()> + Send + Sync>,
}

impl Reducer for After {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn num_ranks(&self) -> usize {
        self.inner.num_ranks()
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()> {
        self.inner.sum_numbers(numbers)
    }

    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>> {
        (self.happens)(self.rank(), self.steps.fetch_add(1, Ordering::Relaxed))?;
        self.inner.sum(values)
    }
}

/// Returns ranks on the CPU with a function that is called with the rank and its previous steps.
fn disturbed(
    count: usize,
    happens: impl Fn(usize, usize) -> Result<()> + Send + Sync + 'static,
) -> Ranks {
    let Ranks::Threads(places, _) = cpus(count) else { unreachable!("named by --devices") };
    let happens: Arc<dyn Fn(usize, usize) -> Result<()> + Send + Sync> = Arc::new(happens);
    let wrap: Wrap = Arc::new(move |inner| {
        let (steps, happens) = (AtomicUsize::new(0), happens.clone());
        Arc::new(After { inner, steps, happens })
    });
    Ranks::Threads(places, Some(wrap))
}

fn train_ranks(data: &Path, out: &Path, ranks: &Ranks, stop: &AtomicBool) -> Result<Outcome> {
    let on_finish: Option<OnFinish> = Some(trainer::final_report::write);
    train_on(TrainJob { on_finish, ..TrainJob::new(data, out) }, &six_steps(), ranks, stop)
}

fn six_steps() -> TrainConfig {
    TrainConfig { batch: 3, steps: 6.into(), validate_every: 4.into(), ..short() }
}

pub(crate) fn saved_steps(out: &Path) -> usize {
    let network = Run::read(out).unwrap().network;
    Checkpoint::newest(out, &network).unwrap().map_or(0, |checkpoint| checkpoint.steps)
}

#[test]
fn a_rank_that_fails_ends_the_run_with_its_name_and_any_number_of_ranks_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    let unbroken = folder.path().join("unbroken");
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    let go_on = &AtomicBool::new(false);

    let fails = disturbed(3, |rank, steps| match (rank, steps) {
        (2, 2) => bail!("out of memory"),
        _ => Ok(()),
    });
    let error = train_ranks(&data, &out, &fails, go_on).unwrap_err();
    assert_eq!(error.to_string(), "rank 2 (cpu): out of memory");
    assert_eq!(saved_steps(&out), 2);

    let panics = disturbed(2, |rank, steps| match (rank, steps) {
        (1, 2) => panic!("a bug"),
        _ => Ok(()),
    });
    let error = train_ranks(&data, &out, &panics, go_on).unwrap_err();
    assert_eq!(error.to_string(), "rank 1 (cpu): panicked: a bug");
    assert_eq!(saved_steps(&out), 4);
    // A failure of the first rank leaves the files that it has written.
    let first = disturbed(2, |rank, _| if rank == 0 { bail!("no GPU") } else { Ok(()) });
    let error = train_ranks(&data, &out, &first, go_on).unwrap_err();
    assert_eq!(error.to_string(), "rank 0 (cpu): no GPU");

    let outcome = train_ranks(&data, &out, &cpus(1), go_on).unwrap();
    assert!(outcome.finished && outcome.steps == 6 && saved_steps(&out) == 6);

    // The whole run equals that of one device.
    train(&data, &unbroken, &six_steps()).unwrap();
    for (number, most) in [(0, 0.0), (2, 2e-3), (6, 2e-2)] {
        let (broken, whole) = (column(&out, number), column(&unbroken, number));
        assert_eq!(broken.len(), whole.len());
        for (a, b) in broken.iter().zip(&whole) {
            assert!((a - b).abs() <= most, "column {number}: {broken:?} and {whole:?}");
        }
    }
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("6 steps"));
}

#[test]
fn a_stop_stops_all_ranks_after_the_same_step() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let ranks = disturbed(2, move |rank, steps| {
        if (rank, steps) == (1, 2) {
            flag.store(true, Ordering::Relaxed);
        }
        Ok(())
    });
    let outcome = train_ranks(&data, &out, &ranks, &stop).unwrap();
    assert_eq!((outcome.steps, outcome.finished, saved_steps(&out)), (3, false, 3));
    let outcome = train_ranks(&data, &out, &cpus(3), &AtomicBool::new(false)).unwrap();
    assert!(outcome.finished && outcome.steps == 6);
}
