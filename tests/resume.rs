//! A run resumes from its last checkpoint after a kill or a full disk, and reports why it cannot
//! resume with other settings, data or files.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use rand::RngExt;
use trainer_run::config::TrainConfig;
use trainer_run::reporter::Silent;
use trainer_run::rng::{RngStream, generator};
use trainer_run::run_folder::{BEST, Run};
use trainer_train::checkpoint::{Checkpoint, LAST, PREVIOUS};
use trainer_train::train::TrainJob;

use crate::training_to_prediction::{column, short, train};

/// The environment variables with the folders of the data set and of the run, for a process that
/// trains.
const DATA: &str = "REWIND_TRAINING_DATA";
const OUT: &str = "REWIND_TRAINING_OUT";
/// The test that trains in a process with these variables.
const TEST: &str = "resume::a_run_that_was_killed_several_times_ends_with_the_same_weights";

/// Returns a command that starts this test binary again, to train in a process that can be killed.
fn training_command(program: &str, data: &Path, out: &Path) -> Command {
    let mut command = Command::new(program);
    if program == "sh" {
        // A limit on the size of files, in blocks of 512 bytes, simulates a full disk.
        let limited = "trap '' XFSZ; ulimit -f \"$BLOCKS\"; exec \"$0\" \"$@\"";
        command.args(["-c", limited]).arg(std::env::current_exe().unwrap());
    }
    command.args(["--exact", TEST, "--nocapture", "--test-threads=1"]);
    command.env(DATA, data).env(OUT, out).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Starts a training on a number of threads.
fn start_training(data: &Path, out: &Path, threads: &str) -> Child {
    let binary = std::env::current_exe().unwrap();
    let mut command = training_command(&binary.to_string_lossy(), data, out);
    command.env("RAYON_NUM_THREADS", threads).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits for a condition, kills a process and returns whether it was alive.
fn kill_when(mut process: Child, mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition() && process.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(120), "still training");
        sleep(Duration::from_micros(200));
    }
    let was_alive = process.try_wait().unwrap().is_none();
    process.kill().unwrap(); // SIGKILL on Unix
    process.wait().unwrap();
    was_alive
}

#[test]
fn a_run_that_was_killed_several_times_ends_with_the_same_weights() {
    if let (Some(data), Some(out)) = (std::env::var_os(DATA), std::env::var_os(OUT)) {
        train(Path::new(&data), Path::new(&out), &short()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, killed, unbroken) = (path("data"), path("killed"), path("unbroken"));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    let last_step = || column(&killed, 0).last().copied().unwrap_or(0.0);

    // Kills at random moments after a few more steps.
    let mut random = generator(5, RngStream::Patch, 0);
    for _ in 0..3 {
        let (from, moment) = (last_step(), random.random_range(0..200));
        let mut since = None;
        let process = start_training(&data, &killed, "2");
        kill_when(process, || {
            let started = (last_step() > from).then(|| *since.get_or_insert(Instant::now()));
            started.is_some_and(|started: Instant| started.elapsed().as_millis() > moment)
        });
    }
    // Kills while a checkpoint is written.
    let part = killed.join(format!("{LAST}.part"));
    kill_when(start_training(&data, &killed, "2"), || part.exists());
    // Simulates a kill between the two renames of a checkpoint, during the writing of the next one.
    if killed.join(LAST).exists() {
        fs::rename(killed.join(LAST), killed.join(PREVIOUS)).unwrap();
    }
    let checkpoint = fs::read(killed.join(PREVIOUS)).unwrap();
    fs::write(&part, &checkpoint[..checkpoint.len() / 2]).unwrap();

    let network = Run::read(&killed).unwrap().network;
    let steps = Checkpoint::newest(&killed, &network).unwrap().unwrap().steps;
    assert!(steps < 40, "expected the run to be killed before its end");
    let outcome = train(&data, &killed, &short()).unwrap();
    assert!(outcome.finished && outcome.steps == 40);
    assert!(!part.exists());

    // On one thread, because no sum depends on the number of threads.
    assert!(start_training(&data, &unbroken, "1").wait().unwrap().success());
    for file in [LAST, BEST] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&killed) == read(&unbroken), "{file} differs");
    }
    let columns = [0, 2, 6].map(|n| (column(&killed, n), column(&unbroken, n)));
    columns.iter().for_each(|(killed, unbroken)| assert_eq!(killed, unbroken));
}

/// A limit on the size of files simulates the full disk: writing fails before the end of the file.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_that_leaves_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    let process = start_training(&data, &out, "2");
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
fn changed_settings_damaged_checkpoints_and_changed_data_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    let config = TrainConfig { steps: 6.into(), validate_every: 6.into(), ..short() };
    train(&data, &out, &config).unwrap();
    let error_of = |config: &TrainConfig| train(&data, &out, config).unwrap_err().to_string();

    let other = TrainConfig { learning_rate: 0.5, ..config.clone() };
    let error = error_of(&other);
    assert!(
        error.contains("learning_rate: 0.002, 0.5") && error.contains("--accept-changes"),
        "{error}"
    );

    let mut bytes = fs::read(out.join(LAST)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(out.join(LAST), &bytes).unwrap();
    let error = error_of(&config);
    assert!(error.contains("damaged") && error.contains(PREVIOUS), "{error}");
    fs::remove_file(out.join(LAST)).unwrap();
    assert!(train(&data, &out, &config).unwrap().finished);

    fs::write(data.join("imagesTr/phantom_00008.nii.gz"), b"no scan").unwrap();
    assert!(error_of(&config).contains("phantom_00008.nii.gz"), "{}", error_of(&config));
}

#[test]
fn accepted_changes_of_settings_never_change_the_split_or_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
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
    // The accepted settings are the run's settings from then on, and the report covers all steps.
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
