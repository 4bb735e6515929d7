//! A network learns, and its bundle predicts with the Dice that the run measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use model_core::metrics::Settings;
use model_core::{Bundle, NetworkSettings, PreprocessConfig};
use trainer_evaluate::{Missing, Options, evaluate, find_task};
use trainer_run::config::{AugmentSettings, TrainConfig};
use trainer_run::reporter::Silent;
use trainer_train::train::{Outcome, TrainJob};

/// Returns the folder of the case cache, in cargo's target folder.
pub(crate) fn cache() -> Option<PathBuf> {
    Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cases"))
}

/// Returns settings for phantoms of 32³ voxels and a network of two levels.
pub(crate) fn settings() -> TrainConfig {
    TrainConfig {
        network: Some(NetworkSettings {
            widths: vec![8, 16],
            groups: Some(4),
            ..NetworkSettings::preset("demo").unwrap()
        }),
        preprocess: PreprocessConfig {
            foreground: model_core::Foreground::Nonzero,
            ..PreprocessConfig::default()
        },
        cache: cache(),
        ..TrainConfig::default()
    }
}

pub(crate) fn train(data: &Path, out: &Path, config: &TrainConfig) -> anyhow::Result<Outcome> {
    trainer_train::train::train(
        TrainJob { on_finish: Some(trainer::final_report::write), ..TrainJob::new(data, out) },
        config,
        &Device::flex(),
        &AtomicBool::new(false),
    )
}

#[test]
fn a_network_memorizes_one_phantom() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    trainer_data::phantom::write(&data, 1, 7, 32, &Silent).unwrap();
    let mut config = TrainConfig {
        held_out: 0.0,
        steps: 160.into(),
        batch: 1,
        learning_rate: 1e-2,
        warm_up: 10.into(),
        average: 0.9,
        validate_every: 160.into(),
        augment: AugmentSettings::none(),
        ..settings()
    };
    if let Some(network) = &mut config.network {
        network.widths = vec![16, 32, 48];
        network.groups = Some(8);
    }
    let started = Instant::now();
    let outcome = train(&data, &out, &config).unwrap();
    let dice = outcome.best.unwrap().dice;
    let losses: Vec<f64> = column(&out, 2);
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    let seconds = started.elapsed().as_secs();
    assert!(dice > 0.9 && last < 0.2 * first, "Dice {dice}, loss {first} to {last}, {seconds} s");
}

/// Returns the numbers in a column of metrics.csv.
pub(crate) fn column(run: &Path, number: usize) -> Vec<f64> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap_or_default();
    let field = |line: &str| line.split(',').nth(number).and_then(|field| field.parse().ok());
    text.lines().skip(1).filter_map(field).collect()
}

/// Returns settings of a short run with checkpoints.
pub(crate) fn short() -> TrainConfig {
    TrainConfig {
        held_out: 0.4,
        steps: 40.into(),
        batch: 2,
        patch: [16; 3],
        validate_every: 10.into(),
        checkpoint_every: 3.into(),
        log_every: 1.into(),
        augment: AugmentSettings { noise: 0.1, ..AugmentSettings::default() },
        ..settings()
    }
}

#[test]
fn a_misspelled_setting_is_refused_with_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.toml");
    fs::write(&file, "steps = 10\nlerning_rate = 0.1\n").unwrap();
    let error = format!("{:#}", TrainConfig::read(&file).unwrap_err());
    let parts = ["train.toml", "line 2", "did you mean `learning_rate`?"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

#[test]
fn the_bundle_of_a_run_predicts_with_the_dice_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, run) = (path("data"), path("run"));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    train(&data, &run, &TrainConfig { steps: 20.into(), validate_every: 20.into(), ..short() })
        .unwrap();
    let (file, warning) = (path("model.safetensors"), "Synthetic cases only");
    let storage = trainer_export::bundle::Storage::F32;
    let bundle =
        trainer_export::bundle::bundle(&run, Some("Test"), Some(warning), storage).unwrap();
    trainer_export::bundle::write(&bundle, &file, storage).unwrap();
    let bundle = Bundle::from_bytes(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((&bundle.card.name[..], &bundle.card.warning[..]), ("Test", warning));
    assert_eq!(bundle.card.provenance.data_fingerprint.len(), 64);

    let predictor = trainer_predict::Predictor::new(bundle.clone(), &Device::flex()).unwrap();
    use trainer_predict::inputs::{self, Split};
    let task = &bundle.card.task;
    let scans =
        inputs::find(from_ref(&data), Split::HeldOut, from_ref(&run), task, &Silent).unwrap();
    predictor.write_all(&scans, &path("predicted"), None, false, &Silent).unwrap();
    let references = data.join("labelsTr");
    let settings = Settings { rule: trainer_train::validate::RULE, ..Settings::default() };
    let options = Options {
        task: find_task(None, &references).unwrap(),
        settings,
        missing: Missing::Skip,
        ..Options::default()
    };
    let result = evaluate(&path("predicted"), &references, &options, &Silent).unwrap();
    for (score, summary) in bundle.card.provenance.held_out.iter().zip(result.summaries()) {
        assert_eq!((score.n, summary.n), (1, 1));
        assert!((score.dice - summary.mean).abs() < 1e-9, "{score:?}, {summary:?}");
    }
}
