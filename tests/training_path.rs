//! Training learns, and a run that was killed at any moment ends as if it had not been.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::slice::from_ref;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use model_core::{Bundle, PreprocessConfig, UNetConfig};
use trainer::checkpoint::{Checkpoint, LAST, PREVIOUS};
use trainer::config::{AugmentSettings, TrainConfig};
use trainer::run_folder::{BEST, Run};
use trainer::train::Outcome;

/// Settings for 32³ phantoms and a network of two levels.
fn settings() -> TrainConfig {
    TrainConfig {
        network: Some(UNetConfig {
            widths: vec![8, 16],
            groups: 4,
            ..UNetConfig::preset("demo", 0, 0).unwrap()
        }),
        preprocess: PreprocessConfig {
            foreground: model_core::Foreground::Nonzero,
            crop: false,
            spacing_mm: None,
        },
        ..TrainConfig::default()
    }
}

fn train(data: &Path, out: &Path, config: &TrainConfig) -> anyhow::Result<Outcome> {
    trainer::train::train(data, out, config, &Device::flex(), &AtomicBool::new(false))
}

#[test]
fn a_network_learns_one_phantom_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer::phantom::write(&data, 1, 7, 32).unwrap();
    let mut config = TrainConfig {
        held_out: 0.0,
        steps: 160,
        batch: 1,
        learning_rate: 1e-2,
        warm_up: 10,
        average: 0.9,
        validate_every: 160,
        augment: AugmentSettings { flip: [false; 3], gain: 0.0, shift: 0.0, ..Default::default() },
        ..settings()
    };
    if let Some(network) = &mut config.network {
        network.widths = vec![16, 32, 48];
        network.groups = 8;
    }
    let started = Instant::now();
    let outcome = train(&data, &out, &config).unwrap();
    let dice = outcome.best.unwrap().dice;
    let losses: Vec<f64> = column(&out, 2);
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    let seconds = started.elapsed().as_secs();
    assert!(dice > 0.9 && last < 0.2 * first, "Dice {dice}, loss {first} to {last}, {seconds} s");
}

/// A column of metrics.csv, where it has numbers.
fn column(run: &Path, number: usize) -> Vec<f64> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap_or_default();
    let field = |line: &str| line.split(',').nth(number).and_then(|field| field.parse().ok());
    text.lines().skip(1).filter_map(field).collect()
}

fn short() -> TrainConfig {
    TrainConfig {
        held_out: 0.4,
        steps: 40,
        batch: 2,
        patch: [16; 3],
        validate_every: 10,
        checkpoint_every: 3,
        log_every: 1,
        augment: AugmentSettings { noise: 0.1, rotate_degrees: 10.0, ..Default::default() },
        ..settings()
    }
}

/// The data set's folder, for a process that is to train.
const DATA: &str = "REWIND_TRAINING_DATA";
/// The run's folder.
const OUT: &str = "REWIND_TRAINING_OUT";
/// The test that trains where these are set.
const TEST: &str = "training_path::a_run_killed_again_and_again_ends_with_the_same_weights";

/// Starts this test binary again, to train in a process that can be killed.
fn training_process(data: &Path, out: &Path, threads: &str) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", TEST, "--nocapture", "--test-threads=1"]);
    command.env(DATA, data).env(OUT, out).env("RAYON_NUM_THREADS", threads);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
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
    trainer::phantom::write(&data, 3, 7, 32).unwrap();

    for kills in 1..=3 {
        let reached = column(&killed, 0).last().copied().unwrap_or(0.0);
        let mut process = training_process(&data, &killed, "2");
        let started = Instant::now();
        while column(&killed, 0).last().is_none_or(|&step| step < 8.0 * f64::from(kills)) {
            assert!(started.elapsed() < Duration::from_secs(120), "still at step {reached}");
            sleep(Duration::from_millis(1));
        }
        process.kill().unwrap(); // SIGKILL on Unix
        process.wait().unwrap();
    }
    let network = Run::read(&killed).unwrap().network;
    let steps = Checkpoint::newest(&killed, &network).unwrap().unwrap().steps;
    assert!(steps < 40, "expected the run to be killed on its way");
    let outcome = train(&data, &killed, &short()).unwrap();
    assert!(outcome.finished && outcome.steps == 40);

    // On one thread: the order of no sum depends on their number.
    assert!(training_process(&data, &unbroken, "1").wait().unwrap().success());
    for file in [LAST, BEST] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&killed) == read(&unbroken), "{file} differs");
    }
    let columns = [0, 2, 6].map(|n| (column(&killed, n), column(&unbroken, n)));
    columns.iter().for_each(|(killed, unbroken)| assert_eq!(killed, unbroken));
}

#[test]
fn what_a_run_cannot_go_on_from_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer::phantom::write(&data, 3, 7, 32).unwrap();
    let config = TrainConfig { steps: 6, validate_every: 6, ..short() };
    train(&data, &out, &config).unwrap();
    let refused = |config: &TrainConfig| train(&data, &out, config).unwrap_err().to_string();

    let other = TrainConfig { learning_rate: 0.5, ..config.clone() };
    assert!(refused(&other).contains("learning_rate: 0.002, 0.5"), "{}", refused(&other));

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
fn a_misspelt_setting_is_refused_with_the_one_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.toml");
    fs::write(&file, "steps = 10\nlerning_rate = 0.1\n").unwrap();
    let error = format!("{:#}", TrainConfig::read(&file).unwrap_err());
    let parts = ["train.toml", "line 2", "did you mean `learning_rate`?"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

#[test]
fn the_bundle_of_a_run_predicts_what_the_run_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, run) = (path("data"), path("run"));
    trainer::phantom::write(&data, 3, 7, 32).unwrap();
    train(&data, &run, &TrainConfig { steps: 20, validate_every: 20, ..short() }).unwrap();
    let (file, warning) = (path("model.safetensors"), "Synthetic cases only");
    let storage = trainer::export::Storage::F32;
    trainer::export::export(&run, &file, Some("Test"), Some(warning), storage).unwrap();
    let bundle = Bundle::from_bytes(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((&bundle.card.name[..], &bundle.card.warning[..]), ("Test", warning));
    assert_eq!(bundle.card.provenance.data_fingerprint.len(), 64);

    let predictor = trainer::predict::Predictor::new(bundle.clone(), &Device::flex()).unwrap();
    use trainer::predict::inputs::{self, Split};
    let task = &bundle.card.task;
    let scans = inputs::find(from_ref(&data), Split::HeldOut, from_ref(&run), task).unwrap();
    predictor.write_all(&scans, &path("predicted"), None, false).unwrap();
    let references = data.join("labelsTr");
    let regions = trainer::evaluate::regions(None, &references).unwrap();
    let rule = trainer::validate::RULE;
    let result =
        trainer::evaluate::evaluate(&path("predicted"), &references, regions, rule).unwrap();
    for (score, summary) in bundle.card.provenance.held_out.iter().zip(result.summaries()) {
        assert_eq!((score.n, summary.n), (1, 1));
        assert!((score.dice - summary.mean).abs() < 1e-9, "{score:?}, {summary:?}");
    }
}
