//! Nothing of a run is lost: killed at any moment, out of disk, with changed settings or broken
//! numbers, it goes on from its last checkpoint or says why it cannot.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use rand::RngExt;
use trainer_data::patches::Batch;
use trainer_run::config::{LossKind, StepsOrEpochs, TrainConfig};
use trainer_run::rng::{RngStream, generator};
use trainer_run::run_folder::{BEST, Run};
use trainer_train::checkpoint::{Checkpoint, LAST, PREVIOUS};
use trainer_train::loss::Loss;
use trainer_train::step::Learner;
use trainer_train::train::TrainJob;

use crate::training_path::{column, short, train};

/// The data set's folder, for a process that is to train.
const DATA: &str = "REWIND_TRAINING_DATA";
/// The run's folder.
const OUT: &str = "REWIND_TRAINING_OUT";
/// The test that trains where these are set.
const TEST: &str = "never_lost::a_run_killed_again_and_again_ends_with_the_same_weights";

/// This test binary again, to train in a process that can be killed.
fn training_command(program: &str, data: &Path, out: &Path) -> Command {
    let mut command = Command::new(program);
    if program == "sh" {
        // A file that grows beyond the limit, in blocks of 512 bytes, is what a full disk is.
        let limited = "trap '' XFSZ; ulimit -f \"$BLOCKS\"; exec \"$0\" \"$@\"";
        command.args(["-c", limited]).arg(std::env::current_exe().unwrap());
    }
    command.args(["--exact", TEST, "--nocapture", "--test-threads=1"]);
    command.env(DATA, data).env(OUT, out).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn training_process(data: &Path, out: &Path, threads: &str) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut command = training_command(&own.to_string_lossy(), data, out);
    command.env("RAYON_NUM_THREADS", threads).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until a process that trains has done something, ends it, and says whether it was alive.
fn kill_when(mut process: Child, mut happened: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !happened() && process.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(120), "still training");
        sleep(Duration::from_micros(200));
    }
    let alive = process.try_wait().unwrap().is_none();
    process.kill().unwrap(); // SIGKILL on Unix
    process.wait().unwrap();
    alive
}

#[test]
fn a_run_killed_again_and_again_ends_with_the_same_weights() {
    if let (Some(data), Some(out)) = (std::env::var_os(DATA), std::env::var_os(OUT)) {
        train(Path::new(&data), Path::new(&out), &short()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, killed, unbroken) = (path("data"), path("killed"), path("unbroken"));
    trainer_data::phantom::write(&data, 3, 7, 32).unwrap();
    let reached = || column(&killed, 0).last().copied().unwrap_or(0.0);

    // Wherever it is at a moment after it has gone on for a few steps.
    let mut random = generator(5, RngStream::Patch, 0);
    for _ in 0..3 {
        let (from, moment) = (reached(), random.random_range(0..200));
        let mut since = None;
        let process = training_process(&data, &killed, "2");
        kill_when(process, || {
            let started = (reached() > from).then(|| *since.get_or_insert(Instant::now()));
            started.is_some_and(|started: Instant| started.elapsed().as_millis() > moment)
        });
    }
    // While it writes a checkpoint.
    let part = killed.join(format!("{LAST}.part"));
    kill_when(training_process(&data, &killed, "2"), || part.exists());
    // What a kill leaves between the two names that a checkpoint gets, and half of a next one.
    if killed.join(LAST).exists() {
        fs::rename(killed.join(LAST), killed.join(PREVIOUS)).unwrap();
    }
    let half = fs::read(killed.join(PREVIOUS)).unwrap();
    fs::write(&part, &half[..half.len() / 2]).unwrap();

    let network = Run::read(&killed).unwrap().network;
    let steps = Checkpoint::newest(&killed, &network).unwrap().unwrap().steps;
    assert!(steps < 40, "expected the run to be killed on its way");
    let outcome = train(&data, &killed, &short()).unwrap();
    assert!(outcome.finished && outcome.steps == 40);
    assert!(!part.exists());

    // On one thread: the order of no sum depends on their number.
    assert!(training_process(&data, &unbroken, "1").wait().unwrap().success());
    for file in [LAST, BEST] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&killed) == read(&unbroken), "{file} differs");
    }
    let columns = [0, 2, 6].map(|n| (column(&killed, n), column(&unbroken, n)));
    columns.iter().for_each(|(killed, unbroken)| assert_eq!(killed, unbroken));
}

/// A limit on the size of files stands for a disk that is full: writing fails half way.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_that_leaves_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 3, 7, 32).unwrap();
    let process = training_process(&data, &out, "2");
    assert!(kill_when(process, || column(&out, 0).last().is_some_and(|&step| step >= 7.0)));
    let network = Run::read(&out).unwrap().network;
    let before = Checkpoint::newest(&out, &network).unwrap().unwrap();

    let blocks = fs::metadata(out.join(LAST)).unwrap().len() / 512 / 2;
    let mut command = training_command("sh", &data, &out);
    let output = command.env("BLOCKS", blocks.to_string()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(error.contains("cannot write") && error.contains(LAST), "{error}");
    assert_eq!(Checkpoint::newest(&out, &network).unwrap().unwrap(), before);
    assert!(!out.join(format!("{LAST}.part")).exists());
    assert!(train(&data, &out, &short()).unwrap().finished);
}

#[test]
fn what_a_run_cannot_go_on_from_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 3, 7, 32).unwrap();
    let config = TrainConfig { steps: 6.into(), validate_every: 6.into(), ..short() };
    train(&data, &out, &config).unwrap();
    let refused = |config: &TrainConfig| train(&data, &out, config).unwrap_err().to_string();

    let other = TrainConfig { learning_rate: 0.5, ..config.clone() };
    let error = refused(&other);
    assert!(
        error.contains("learning_rate: 0.002, 0.5") && error.contains("--accept-changes"),
        "{error}"
    );

    let mut bytes = fs::read(out.join(LAST)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(out.join(LAST), &bytes).unwrap();
    let error = refused(&config);
    assert!(error.contains("damaged") && error.contains(PREVIOUS), "{error}");
    fs::remove_file(out.join(LAST)).unwrap();
    assert!(train(&data, &out, &config).unwrap().finished);

    fs::write(data.join("imagesTr/phantom_00008.nii.gz"), b"no scan").unwrap();
    assert!(refused(&config).contains("phantom_00008.nii.gz"), "{}", refused(&config));
}

#[test]
fn changed_settings_are_accepted_when_they_are_asked_for_but_never_another_split() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 3, 7, 32).unwrap();
    let config = TrainConfig { steps: 3.into(), validate_every: 3.into(), ..short() };
    train(&data, &out, &config).unwrap();
    let accepting = |config: &TrainConfig| {
        let job = TrainJob { accept_changes: true, ..TrainJob::new(&data, &out) };
        trainer_train::train::train(job, config, &Device::flex(), &AtomicBool::new(false))
    };
    let longer = TrainConfig { steps: 6.into(), learning_rate: 1e-3, ..config.clone() };
    assert!(train(&data, &out, &longer).is_err());
    let outcome = accepting(&longer).unwrap();
    assert!(outcome.finished && outcome.steps == 6);
    assert_eq!(Run::read(&out).unwrap().config, longer);
    // What was accepted are the run's settings from then on, and the report is of its new end.
    assert!(train(&data, &out, &longer).unwrap().finished);
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("6 steps") && !report.contains("3 steps"));
    let shorter = TrainConfig { steps: 4.into(), ..longer.clone() };
    let error = accepting(&shorter).unwrap_err().to_string();
    assert!(error.contains("at least 6") && error.contains("found 4"), "{error}");
    assert_eq!(Run::read(&out).unwrap().config, longer);

    let error = accepting(&TrainConfig { seed: 1, ..longer.clone() }).unwrap_err().to_string();
    assert!(error.contains("held out"), "{error}");
    let mut other = longer.clone();
    other.network.as_mut().unwrap().widths = vec![8, 24];
    let error = accepting(&other).unwrap_err().to_string();
    assert!(error.contains("the network"), "{error}");
}

/// A batch of these samples, each one value everywhere, half of it labeled.
fn batch(number: usize, config: &TrainConfig, samples: &[(&str, f32)]) -> Batch {
    let num_voxels: usize = config.patch.iter().product();
    let values = |&(_, value): &(&str, f32)| {
        (0..4 * num_voxels).map(move |n| value * ((n * 31 % 17) as f32 - 8.0))
    };
    let labels = (0..samples.len() * num_voxels).map(|voxel| u8::from(voxel % 16 >= 8)).collect();
    let cases = samples.iter().map(|(name, _)| name.to_string()).collect();
    Batch { number, values: samples.iter().flat_map(values).collect(), labels, cases }
}

fn learner(config: &TrainConfig) -> Learner {
    let task = model_core::Task::builtin("brats2021").unwrap();
    let network = config.network(&task).unwrap();
    let start = Checkpoint::initial(&network, 3);
    Learner::new(&network, Loss::new(&task, config.loss), start, &Device::flex()).unwrap()
}

#[test]
fn a_loss_that_is_no_number_stops_with_the_case_named() {
    let config = short();
    let mut learner = learner(&config);
    let before = learner.network.weights();
    let batch = batch(4, &config, &[("sound", 1.0), ("broken", f32::NAN)]);
    let error = learner.step(&config, 1e-3, vec![batch]).unwrap_err().to_string();
    assert!(error.contains("step 5 on patches of broken:"), "{error}");
    assert_eq!(learner.network.weights(), before);
}

/// With a loss that is a mean over voxels, two batches of one are one batch of two.
#[test]
fn accumulated_gradients_are_those_of_the_larger_batch() {
    let mut config = TrainConfig { loss: LossKind::Focal, ..short() };
    let (a, b) = (("a", 1.0), ("b", 0.25));
    let stepped = |config: &TrainConfig, batches: Vec<Batch>| {
        let mut learner = learner(config);
        let report = learner.step(config, 1e-3, batches).unwrap();
        (report, learner.adam.state())
    };
    let (large, [large_moments, _]) = stepped(&config, vec![batch(0, &config, &[a, b])]);
    config.accumulate = 2;
    let small = vec![batch(0, &config, &[a]), batch(1, &config, &[b])];
    let (small, [small_moments, _]) = stepped(&config, small);
    assert!((large.report.loss - small.report.loss).abs() < 1e-6);
    assert!((large.gradient_norm / small.gradient_norm - 1.0).abs() < 1e-4);
    for (name, values) in &large_moments {
        let most = values.iter().fold(0f32, |most, value| most.max(value.abs()));
        for (large, small) in values.iter().zip(&small_moments[name]) {
            assert!((large - small).abs() <= 1e-3 * most + 1e-8, "{name}: {large} and {small}");
        }
    }
}

#[test]
fn training_ends_early_when_dice_no_longer_rises_and_keeps_the_best_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 3, 7, 32).unwrap();
    // Steps so small that Dice stays what it is.
    let config = TrainConfig {
        steps: StepsOrEpochs::Epochs(40.0),
        learning_rate: 1e-12,
        validate_every: StepsOrEpochs::Epochs(1.0),
        smooth_over: StepsOrEpochs::Epochs(2.0),
        stop_after: Some(StepsOrEpochs::Epochs(3.0)),
        ..short()
    };
    let outcome = train(&data, &out, &config).unwrap();
    assert!(outcome.finished);
    // Two training cases, two patches a step: an epoch is a step. The first validation is best.
    assert_eq!((outcome.steps, outcome.best.unwrap().steps), (4, 1));
    assert_eq!(train(&data, &out, &config).unwrap(), outcome);
}

#[test]
fn folds_are_runs_of_their_own_that_are_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("runs"));
    trainer_data::phantom::write(&data, 3, 7, 32).unwrap();
    let mut held_out = Vec::new();
    for fold in 0..3 {
        let config = TrainConfig {
            folds: 3,
            fold: Some(fold),
            steps: 2.into(),
            validate_every: 2.into(),
            ..short()
        };
        let run = trainer_run::cross_validation::folder(&out, fold);
        train(&data, &run, &config).unwrap();
        held_out.extend(Run::read(&run).unwrap().held_out);
    }
    held_out.sort();
    assert_eq!(held_out, ["phantom_00007", "phantom_00008", "phantom_00009"]);
    assert_eq!(trainer_run::cross_validation::folders(&out).len(), 3);
    let summary = trainer_run::cross_validation::summary(&out, 3).unwrap();
    assert!(
        summary.lines().any(|line| line.starts_with("whole tumor\t") && line.ends_with("\t3")),
        "{summary}"
    );
}

/// Every file of a folder by name, with its bytes.
fn bytes_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |file: std::path::PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(file).unwrap())
    };
    files.map(named).collect()
}

#[test]
fn a_deterministic_run_writes_the_same_bytes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 3, 7, 32).unwrap();
    let run = |name: &str| {
        let config = TrainConfig {
            deterministic: true,
            steps: 6.into(),
            validate_every: 3.into(),
            ..short()
        };
        assert!(train(&path("data"), &path(name), &config).unwrap().finished);
        bytes_in(&path(name))
    };
    let (one, other) = (run("one"), run("other"));
    let names: Vec<&String> = one.keys().collect();
    assert_eq!(names, other.keys().collect::<Vec<_>>());
    assert!(names.iter().any(|name| *name == "report.html"), "{names:?}");
    assert!(names.iter().any(|name| name.contains("tfevents")), "{names:?}");
    for (name, bytes) in &one {
        assert!(*bytes == other[name], "{name} differs");
    }
}
