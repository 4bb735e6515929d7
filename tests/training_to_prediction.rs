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

use crate::commands::{rewind, status_and_stderr};

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

#[test]
fn a_model_of_all_cases_is_described_by_its_folds() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, all, folds) = (path("data"), path("all"), path("folds"));
    trainer_data::phantom::write(&data, 4, 7, 32, &Silent).unwrap();
    let config = TrainConfig { steps: 20.into(), validate_every: 20.into(), ..short() };
    train(&data, &all, &TrainConfig { held_out: 0.0, ..config.clone() }).unwrap();
    let out = path("model.safetensors");
    let export = |least_ml: f64| {
        let [run, folds, out] = [&all, &folds, &out].map(|path| path.to_str().unwrap());
        let words = ["export", "--run", run, "--cross-validation", folds, "--out", out];
        let texts = ["--data-name", "Phantoms", "--known-failure", "It knows no scans."];
        let least = ["--least-ml", &least_ml.to_string()];
        status_and_stderr(rewind(&[&words[..], &texts[..], &least[..]].concat()))
    };
    let mut cases = Vec::new();
    for fold in 0..2 {
        // The folds are incomplete until the second has ended.
        let (code, stderr) = export(0.0);
        assert!(code == Some(1) && stderr.contains("expected the folds"), "{stderr}");
        assert!(!out.exists());
        let run = trainer_run::cross_validation::folder(&folds, fold);
        train(&data, &run, &TrainConfig { folds: 2, fold: Some(fold), ..config.clone() }).unwrap();
        let description = trainer_run::run_folder::Run::read(&run).unwrap();
        let held_out = trainer_report::HeldOut::find(&run, &description.task).unwrap().unwrap();
        assert_eq!(held_out.training.unwrap().case.name, description.training[0]);
        cases.extend(held_out.cases);
    }
    // Some tumors are smaller than this.
    let mut references: Vec<f64> = cases.iter().map(|case| case.regions[0].reference_ml).collect();
    references.sort_by(f64::total_cmp);
    let least_ml = references[2];
    let (code, stderr) = export(least_ml);
    assert_eq!(code, Some(0), "{stderr}");

    let card = Bundle::from_bytes(&fs::read(&out).unwrap()).unwrap().card;
    assert_eq!((card.provenance.training_cases, card.provenance.folds), (4, 2));
    assert_eq!(card.provenance.data, "Phantoms");
    assert_eq!(card.known_failures, ["It knows no scans."]);
    assert_eq!(card.calibration.unwrap().cases, 4);
    assert_eq!(cases.len(), 4);
    for (n, region) in card.task.regions.iter().enumerate() {
        let results = cases.iter().map(|case| case.regions[n]);
        let large = results.filter(|region| region.reference_ml >= least_ml);
        let dice: Vec<f64> = large.map(|region| region.dice.unwrap()).collect();
        let score = card.provenance.held_out.iter().find(|score| score.region == region.name);
        assert_eq!(score.map_or(0, |score| score.n), dice.len(), "{}", region.name);
        if let Some(score) = score {
            let mean = dice.iter().sum::<f64>() / dice.len() as f64;
            assert!((score.dice - mean).abs() < 1e-12, "{score:?}, {dice:?}");
        }
    }
    // A model of another task is no model of these folds.
    let other = path("other");
    let task = data.join("dataset.json");
    let text = fs::read_to_string(&task).unwrap().replace("tumor core", "core");
    fs::write(&task, text).unwrap();
    train(&data, &other, &TrainConfig { held_out: 0.0, ..config }).unwrap();
    let [run, folds, out] = [&other, &folds, &out].map(|path| path.to_str().unwrap());
    let words = ["export", "--run", run, "--cross-validation", folds, "--out", out];
    let (code, stderr) = status_and_stderr(rewind(&words));
    assert!(code == Some(1) && stderr.contains("of the model's task"), "{stderr}");
}
