//! A scan is segmented within the memory limit, by one model or several, and the record says how.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::tensor::Device;
use integration_tests::take_peak_bytes;
use model_core::{
    Bundle, Case, Foreground, LabelMap, NetworkSettings, PreprocessConfig, UNetConfig,
    formats::nifti, phantom, preprocess,
};
use trainer_predict::extent::Extent;
use trainer_predict::inputs::{self, Inputs, Split};
use trainer_predict::record::Record;
use trainer_predict::settings::{Ensemble, Mode, Settings};
use trainer_predict::{Predictor, members, profiling};
use trainer_run::config::TrainConfig;
use trainer_run::reporter::Silent;

/// Returns three models that differ only in their seed, trained for a moment on phantoms of 32³
/// voxels.
pub(crate) fn models() -> Vec<Bundle> {
    static MODELS: OnceLock<Vec<Bundle>> = OnceLock::new();
    let train = |folder: &Path, seed: u64| {
        let network = NetworkSettings {
            widths: vec![8, 16],
            groups: Some(4),
            ..NetworkSettings::preset("demo").unwrap()
        };
        let config = TrainConfig {
            network: Some(network),
            preprocess: PreprocessConfig { foreground: Foreground::Nonzero, ..Default::default() },
            seed,
            held_out: 0.0,
            steps: 50.into(),
            batch: 1,
            learning_rate: 1e-2,
            warm_up: 5.into(),
            average: 0.9,
            patch: [24; 3],
            validate_every: 50.into(),
            cache: crate::training_to_prediction::cache(),
            ..TrainConfig::default()
        };
        let (data, out) = (folder.join("data"), folder.join(format!("seed-{seed}")));
        crate::training_to_prediction::train(&data, &out, &config).unwrap();
        trainer_run::run_folder::read_bundle(&out).unwrap()
    };
    let train_all = || {
        let folder = tempfile::tempdir().unwrap();
        trainer_data::phantom::write(&folder.path().join("data"), 2, 7, 32, &Silent).unwrap();
        (1..=3).map(|seed| train(folder.path(), seed)).collect()
    };
    MODELS.get_or_init(train_all).clone()
}

pub(crate) fn predictor(settings: Settings) -> Predictor {
    Predictor::ensemble(vec![models().remove(0)], settings, None, &Device::flex()).unwrap()
}

fn segment(settings: Settings, case: &Case) -> trainer_predict::Prediction {
    predictor(settings).segment(case, |_| {}).unwrap()
}

/// Returns the fraction of voxels in which two label maps differ.
fn difference(a: &LabelMap, b: &LabelMap) -> f64 {
    let count = a.labels().iter().zip(b.labels()).filter(|(a, b)| a != b).count();
    count as f64 / a.labels().len() as f64
}

/// Returns the mean Dice of the regions against a case's own labels.
fn dice(labels: &LabelMap, case: &Case) -> f64 {
    let (regions, reference) = (phantom::task().regions.clone(), case.labels().unwrap().labels());
    let rule = trainer_train::validate::RULE;
    let score = |r: &model_core::Region| {
        model_core::metrics::dice(labels.labels(), reference, &r.labels, rule)
    };
    regions.iter().map(score).sum::<f64>() / regions.len() as f64
}

pub(crate) fn find(data: &[PathBuf]) -> Inputs {
    inputs::find(data, Split::All, &[], &phantom::task(), &Silent).unwrap()
}

#[test]
fn the_memory_of_a_forward_pass_agrees_with_the_estimate() {
    let name = "inference::the_memory_of_a_forward_pass_agrees_with_the_estimate";
    let sizes = |preset: &str| {
        let network = UNetConfig::preset(preset, 4, 3).unwrap();
        network.with(|n| (n.widths, n.groups) = (vec![8, 16], Some(4))).unwrap()
    };
    for preset in ["demo", "pendse-baseline", "unet3d"] {
        let outcome = integration_tests::in_child_process(name, preset, |preset| {
            let network = model_core::nets::UNet3d::new(&sizes(preset), &Device::flex());
            let input =
                model_core::Input { channels: 4, dims: [64; 3], values: vec![0.5; 4 << 18] };
            // The first pass allocates buffers that all later ones use.
            drop(trainer_train::model::logits(&network, &input, &Device::flex()));
            let before = integration_tests::held_bytes();
            take_peak_bytes();
            drop(trainer_train::model::logits(&network, &input, &Device::flex()));
            format!("{}", take_peak_bytes() - before)
        });
        let measured: f64 = outcome.answer.unwrap().parse().unwrap();
        let settings = model_core::network::memory_estimate::Settings::default();
        let estimated = model_core::network::memory_estimate::forward_peak_bytes(
            &sizes(preset),
            [64; 3],
            settings,
        )
        .unwrap();
        let ratio = measured / estimated as f64;
        // Each thread has its own scratch memory.
        assert!(
            (0.9..1.2).contains(&ratio),
            "{preset}: {estimated} estimated, {measured} measured"
        );
    }
}

#[test]
fn the_full_volume_is_segmented_if_it_fits_into_memory_and_else_tiles_are() {
    let case = phantom::phantom(20, 48);
    let with = |memory: u64| Settings { memory_bytes: Some(memory), ..Settings::default() };
    let full = segment(with(1 << 30), &case);
    let tiled = segment(with(12 << 20), &case);
    assert_eq!(full.extents[0].extent, Extent::FullVolume);
    // The tile has the size of the patches in training.
    let expected = Extent::Tiles { tile_dims: [24; 3], overlap: 0.5 };
    assert_eq!(tiled.extents[0].extent, expected);
    assert!(
        tiled.extents[0].reason.contains("full volume needs about"),
        "{}",
        tiled.extents[0].reason
    );
    let too_little = predictor(with(1 << 20)).segment(&case, |_| {}).err().unwrap().to_string();
    assert!(too_little.contains("--tile") && too_little.contains("1.0 MiB"), "{too_little}");
    let large = Settings { mode: Mode::Tiles, tile_dims: Some([48; 3]), ..Settings::default() };
    let large = segment(large, &case);
    assert_eq!(large.extents[0].extent, Extent::FullVolume, "one tile covers the volume");
    assert!(large.labels == full.labels);
}

/// Tiles give another result than the full volume, because group norms see fewer voxels. The test
/// measures the difference in Dice on phantoms.
#[test]
fn tiles_and_the_full_volume_differ_by_a_bounded_amount() {
    let sliding = Settings { mode: Mode::Tiles, ..Settings::default() };
    let (mut full_dice, mut tiled_dice, mut mean_difference) = (0.0, 0.0, 0.0);
    for seed in 20..24 {
        let case = phantom::phantom(seed, 32);
        let full = segment(Settings::default(), &case).labels;
        let tiled = segment(sliding.clone(), &case).labels;
        full_dice += dice(&full, &case) / 4.0;
        tiled_dice += dice(&tiled, &case) / 4.0;
        mean_difference += difference(&full, &tiled) / 4.0;
    }
    println!("Dice {full_dice:.3} in the full volume, {tiled_dice:.3} in tiles of 24³");
    assert!(mean_difference > 0.001 && mean_difference < 0.1, "{mean_difference} of the voxels");
    // The model was trained on patches of 24³ voxels and does better on tiles of this size.
    let gain = tiled_dice - full_dice;
    assert!((0.05..0.3).contains(&gain), "Dice {full_dice} in full, {tiled_dice} in tiles");
}

#[test]
fn with_flips_the_result_for_a_mirrored_scan_is_the_mirrored_result() {
    let case = phantom::phantom(20, 32);
    // Rows are stored from left to right, so reversing them mirrors the head.
    let mirror = |labels: &[u8]| -> Vec<u8> {
        labels.chunks_exact(32).flat_map(|row| row.iter().rev().copied()).collect()
    };
    let (mut channels, labels) = case.clone().into_channels_and_labels();
    for volume in &mut channels {
        volume.values_mut().chunks_exact_mut(32).for_each(<[f32]>::reverse);
    }
    let mirrored = Case::new("mirrored", channels, labels, &phantom::task()).unwrap();
    let num_different = |flips: [bool; 3]| {
        let settings = Settings { flips, ..Settings::default() };
        let labels = segment(settings.clone(), &case).labels.into_labels();
        let of_mirrored = segment(settings, &mirrored).labels.into_labels();
        mirror(&labels).iter().zip(&of_mirrored).filter(|(a, b)| a != b).count()
    };
    assert!(num_different([false; 3]) > 20, "the network is not symmetric by itself");
    assert!(num_different([true, false, false]) <= 2, "only rounding");
}

#[test]
fn an_ensemble_averages_the_probabilities_of_its_members() {
    let case = phantom::phantom(21, 32);
    let settings = Settings { probabilities: true, ..Settings::default() };
    let segment_by = |bundles: Vec<Bundle>| {
        let predictor =
            Predictor::ensemble(bundles, settings.clone(), None, &Device::flex()).unwrap();
        predictor.segment(&case, |_| {}).unwrap()
    };
    // One member resamples and crops. The probabilities are averaged on the scan's grid.
    let mut models = models();
    models[2].card.preprocess.spacing_mm = Some([5.0; 3].try_into().unwrap());
    models[2].card.preprocess.crop = true;
    let ensemble = segment_by(models.clone());
    let members: Vec<_> = models.into_iter().map(|bundle| segment_by(vec![bundle])).collect();
    assert_eq!(ensemble.extents.len(), 3);
    let [a, b, c] = [0, 1, 2].map(|n| members[n].probabilities.as_ref().unwrap()[1].values());
    assert!(a != b && b != c, "the members differ");
    let averaged = ensemble.probabilities.as_ref().unwrap()[1].values();
    for (at, p) in averaged.iter().enumerate() {
        let mean = (a[at] + b[at] + c[at]) / 3.0;
        assert!((p - mean).abs() < 1e-6, "voxel {at}: {p} and {mean}");
        // Tumor core: labels 1 and 3.
        let is_core = matches!(ensemble.labels.labels()[at], 1 | 3);
        assert!(is_core || *p <= 0.5, "voxel {at}");
    }
}

#[test]
fn a_selected_model_segments_alone_and_the_record_contains_the_scores() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 3, 30, 32, &Silent).unwrap();
    let task = phantom::task();
    let cases =
        inputs::find_in_data_set(&path("data"), Split::All, &[], &task, &Silent).unwrap().cases;
    let (device, default) = (Device::flex(), Settings::default());
    let measure_profile = |cases: &[_]| {
        profiling::profile_models(
            models(),
            &default,
            cases,
            &device,
            &path("profile.json"),
            &Silent,
        )
        .unwrap()
    };
    measure_profile(&cases[..2]);
    let other_settings = [
        (Settings { flips: [true, false, false], ..default.clone() }, "flips: [], [\"right\"]"),
        (Settings { mode: Mode::Tiles, ..default.clone() }, "mode: \"auto\", \"sliding\""),
    ];
    for (other, part) in other_settings {
        let mixed = profiling::profile_models(
            models(),
            &other,
            &cases,
            &device,
            &path("profile.json"),
            &Silent,
        );
        let error = mixed.err().unwrap().to_string();
        assert!(error.contains(part) && error.ends_with("profile.json)"), "{error}");
    }
    let profile = measure_profile(&cases);
    assert_eq!((profile.cases.len(), profile.cases[0].dice.len()), (3, 3));
    let text = fs::read_to_string(path("profile.json")).unwrap();
    assert!(text.contains("Research use only") && profile.is_complete);

    let unused = Predictor::ensemble(models(), Settings::default(), Some(profile.clone()), &device);
    let error = unused.err().unwrap().to_string();
    assert!(error.contains("--profile") && error.contains("--ensemble similarity"), "{error}");

    for ensemble in [Ensemble::Similarity, Ensemble::Literal] {
        let settings = Settings { ensemble, ..Settings::default() };
        let error = Predictor::ensemble(models(), settings.clone(), None, &device).err().unwrap();
        assert!(error.to_string().contains("--profile"), "{error}");
        let predictor =
            Predictor::ensemble(models(), settings, Some(profile.clone()), &device).unwrap();
        let cases = find(&[path("data/imagesTr/phantom_00030.nii.gz")]);
        let out = path(&format!("{ensemble:?}"));
        predictor.write_all(&cases, &out, Some(&text), false, &Silent).unwrap();
        let record = Record::find(&out.join("phantom_00030.json")).unwrap();
        let selection = record.selection.unwrap();
        let best = selection.scores.iter().copied().reduce(match ensemble {
            Ensemble::Literal => f64::min,
            _ => f64::max,
        });
        assert_eq!(selection.scores[selection.chosen], best.unwrap());
        let chosen = models().remove(selection.chosen);
        let case = phantom::phantom(30, 32);
        let alone = Predictor::new(chosen, &device).unwrap().segment(&case, |_| {}).unwrap();
        let bytes = fs::read(out.join("phantom_00030.nii.gz")).unwrap();
        assert!(nifti::read_labels(&bytes).unwrap().labels() == alone.labels.labels());
        // The scan is in the profile, so its own Dice decides by similarity.
        if ensemble == Ensemble::Similarity {
            let scores = &profile.cases[0].dice;
            let best = scores[selection.chosen] + 1e-3;
            assert!(scores.iter().all(|dice| *dice <= best), "{scores:?}");
        }
    }
}

#[test]
fn models_of_different_tasks_are_refused_as_an_ensemble() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bundle: &Bundle| {
        let file = folder.path().join(name);
        fs::write(&file, bundle.to_bytes().unwrap()).unwrap();
        file
    };
    let [a, mut b, _] = <[Bundle; 3]>::try_from(models()).unwrap();
    let first = write("a.safetensors", &a);
    let error = members::read(&[first.clone(), write("b.safetensors", &a)]).unwrap_err();
    assert!(error.to_string().contains("the same twice"), "{error}");
    b.card.task = b.card.task.with(|task| task.channels.swap(0, 1)).unwrap();
    let error = members::read(&[first, write("c.safetensors", &b)]).unwrap_err().to_string();
    assert!(error.contains("T1Gd, T1, T2, FLAIR") && error.ends_with("c.safetensors)"), "{error}");
}

#[test]
fn the_folder_of_a_cross_validation_is_expanded_to_its_folds() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["fold-0", "fold-1", "other"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let expanded = members::expand(&[folder.path().to_path_buf(), "model.safetensors".into()]);
    let expected = ["fold-0", "fold-1"].map(|fold| folder.path().join(fold));
    assert_eq!(expanded, [&expected[..], &["model.safetensors".into()]].concat());
}

/// The tolerance of logits, which are up to about ten, after rounding the weights to half
/// precision.
const F16_TOLERANCE: f32 = 0.05;

#[test]
fn a_bundle_in_half_precision_is_half_as_large_and_predicts_nearly_the_same() {
    let bundle = models().remove(0);
    let (f32_bytes, f16_bytes) = (bundle.to_bytes().unwrap(), bundle.to_f16_bytes().unwrap());
    let read = Bundle::from_bytes(&f16_bytes).unwrap();
    assert_eq!(read, bundle.rounded_to_f16());
    assert_eq!(read.to_f16_bytes().unwrap(), f16_bytes, "the same bytes each time");
    let num_weights: usize = bundle.weights.values().map(|array| array.values.len()).sum();
    let saved_bytes = f32_bytes.len() - f16_bytes.len();
    assert!(saved_bytes >= 2 * num_weights - 64, "{saved_bytes}");
    let case = phantom::phantom(20, 32);
    let card = &bundle.card;
    let (input, _) = preprocess(case.channels(), &card.preprocess, &card.network).unwrap();
    let logits = |bundle: &Bundle| {
        let network = trainer_train::model::build(&card.network, &bundle.weights, &Device::flex());
        trainer_train::model::logits(&network.unwrap(), &input, &Device::flex())
    };
    let pairs = logits(&bundle).into_iter().zip(logits(&read));
    let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 0.0 && largest < F16_TOLERANCE, "{largest}");
}
