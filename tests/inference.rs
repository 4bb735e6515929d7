//! A scan is segmented by what fits in memory, by one model or several, and the result says how.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::tensor::Device;
use integration_tests::most_held_bytes;
use model_core::{
    Bundle, Case, Foreground, LabelMap, PreprocessConfig, UNetConfig, formats::nifti, phantom,
    preprocess,
};
use trainer_predict::fit::Extent;
use trainer_predict::inputs::{self, Inputs, Split};
use trainer_predict::record::Record;
use trainer_predict::settings::{Ensemble, Mode, Settings};
use trainer_predict::{Predictor, measure, members};
use trainer_run::config::TrainConfig;

/// Three networks that differ in their initial weights and draws alone, trained for a moment on
/// 32³ phantoms.
pub(crate) fn models() -> Vec<Bundle> {
    static MODELS: OnceLock<Vec<Bundle>> = OnceLock::new();
    let train = |folder: &Path, seed: u64| {
        let network = UNetConfig {
            widths: vec![8, 16],
            groups: 4,
            ..UNetConfig::preset("demo", 0, 0).unwrap()
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
    let all = || {
        let folder = tempfile::tempdir().unwrap();
        trainer_data::phantom::write(&folder.path().join("data"), 2, 7, 32).unwrap();
        (1..=3).map(|seed| train(folder.path(), seed)).collect()
    };
    MODELS.get_or_init(all).clone()
}

pub(crate) fn predictor(settings: Settings) -> Predictor {
    Predictor::of(vec![models().remove(0)], settings, None, &Device::flex()).unwrap()
}

fn segment(settings: Settings, case: &Case) -> trainer_predict::Prediction {
    predictor(settings).segment(case, |_| {}).unwrap()
}

/// The share of voxels in which label maps differ.
fn difference(a: &LabelMap, b: &LabelMap) -> f64 {
    let differ = a.labels().iter().zip(b.labels()).filter(|(a, b)| a != b).count();
    differ as f64 / a.labels().len() as f64
}

/// Mean Dice over the regions against a case's own labels.
fn dice(labels: &LabelMap, case: &Case) -> f64 {
    let (regions, reference) = (phantom::task().regions, case.labels.as_ref().unwrap().labels());
    let rule = trainer_train::validate::RULE;
    let score = |r: &model_core::Region| {
        model_core::metrics::dice(labels.labels(), reference, &r.labels, rule)
    };
    regions.iter().map(score).sum::<f64>() / regions.len() as f64
}

pub(crate) fn find(data: &[PathBuf]) -> Inputs {
    inputs::find(data, Split::All, &[], &phantom::task()).unwrap()
}

#[test]
fn what_a_forward_pass_holds_is_known_before_it_runs() {
    let name = "inference::what_a_forward_pass_holds_is_known_before_it_runs";
    let sizes = |network: &str| UNetConfig {
        widths: vec![8, 16],
        groups: 4,
        ..UNetConfig::preset(network, 4, 3).unwrap()
    };
    for preset in ["demo", "pendse-baseline", "unet3d"] {
        let outcome = integration_tests::in_child_process(name, preset, |preset| {
            let network = model_core::nets::UNet3d::new(&sizes(preset), &Device::flex());
            let input =
                model_core::Input { channels: 4, dims: [64; 3], values: vec![0.5; 4 << 18] };
            // The first pass makes what all later ones use.
            drop(trainer_train::model::logits(&network, &input, &Device::flex()));
            let before = integration_tests::held_bytes();
            most_held_bytes();
            drop(trainer_train::model::logits(&network, &input, &Device::flex()));
            format!("{}", take_peak_bytes() - before)
        });
        let measured: f64 = outcome.answer.unwrap().parse().unwrap();
        let settings = model_core::network::memory_estimate::Settings::default();
        let planned = model_core::network::memory_estimate::forward_peak_bytes(
            &sizes(preset),
            [64; 3],
            settings,
        )
        .unwrap();
        let ratio = measured / planned as f64;
        // Threads have scratch of their own.
        assert!((0.9..1.2).contains(&ratio), "{preset}: {planned} planned, {measured} held");
    }
}

#[test]
fn the_full_volume_is_taken_where_it_fits_and_else_a_window() {
    let case = phantom::phantom(20, 48);
    let with = |memory: u64| Settings { memory_bytes: Some(memory), ..Settings::default() };
    let full = segment(with(1 << 30), &case);
    let window = segment(with(12 << 20), &case);
    assert_eq!(full.shown[0].extent, Extent::FullVolume);
    // The window is the patch that the model was trained on.
    let expected = Extent::SlidingWindow { window: [24; 3], overlap: 0.5 };
    assert_eq!(window.shown[0].extent, expected);
    assert!(window.shown[0].why.contains("full volume needs about"), "{}", window.shown[0].why);
    let too_little = predictor(with(1 << 20)).segment(&case, |_| {}).err().unwrap().to_string();
    assert!(too_little.contains("--window") && too_little.contains("1.0 MiB"), "{too_little}");
    let large = Settings { mode: Mode::Sliding, window: Some([48; 3]), ..Settings::default() };
    let large = segment(large, &case);
    assert_eq!(large.shown[0].extent, Extent::FullVolume, "a window that holds all is no window");
    assert!(large.labels == full.labels);
}

/// Another function, by norms that see less. How much Dice that is, is said: here on phantoms.
#[test]
fn a_window_and_the_full_volume_differ_by_a_stated_amount() {
    let sliding = Settings { mode: Mode::Sliding, ..Settings::default() };
    let (mut of_full, mut of_window, mut differ) = (0.0, 0.0, 0.0);
    for seed in 20..24 {
        let case = phantom::phantom(seed, 32);
        let full = segment(Settings::default(), &case).labels;
        let window = segment(sliding.clone(), &case).labels;
        of_full += dice(&full, &case) / 4.0;
        of_window += dice(&window, &case) / 4.0;
        differ += difference(&full, &window) / 4.0;
    }
    println!("Dice {of_full:.3} in the full volume, {of_window:.3} in windows of 24³");
    assert!(differ > 0.001 && differ < 0.1, "{differ} of the voxels");
    // Trained on 24³ alone, it does better on what it knows.
    let gained = of_window - of_full;
    assert!((0.05..0.3).contains(&gained), "Dice {of_full} in full, {of_window} in windows");
}

#[test]
fn flips_make_the_answer_for_a_mirrored_scan_the_mirrored_answer() {
    let case = phantom::phantom(20, 32);
    // Stored from left to right as the voxels are mirrored, it is the same head in a mirror.
    let mirror = |labels: &[u8]| -> Vec<u8> {
        labels.chunks_exact(32).flat_map(|row| row.iter().rev().copied()).collect()
    };
    let mut mirrored = case.clone();
    for volume in &mut mirrored.channels {
        volume.values_mut().chunks_exact_mut(32).for_each(<[f32]>::reverse);
    }
    let differing = |flips: [bool; 3]| {
        let settings = Settings { flips, ..Settings::default() };
        let labels = segment(settings.clone(), &case).labels.into_labels();
        let of_mirrored = segment(settings, &mirrored).labels.into_labels();
        mirror(&labels).iter().zip(&of_mirrored).filter(|(a, b)| a != b).count()
    };
    assert!(differing([false; 3]) > 20, "this network tells right from left");
    assert!(differing([true, false, false]) <= 2, "rounding alone");
}

#[test]
fn an_ensembles_mean_is_of_its_members_probabilities() {
    let case = phantom::phantom(21, 32);
    let settings = Settings { probabilities: true, ..Settings::default() };
    let of = |bundles: Vec<Bundle>| {
        let predictor = Predictor::of(bundles, settings.clone(), None, &Device::flex()).unwrap();
        predictor.segment(&case, |_| {}).unwrap()
    };
    // One sees another spacing and no background: they meet on the scan's own grid.
    let mut models = models();
    models[2].card.preprocess.spacing_mm = Some([5.0; 3]);
    models[2].card.preprocess.crop = true;
    let together = of(models.clone());
    let alone: Vec<_> = models.into_iter().map(|bundle| of(vec![bundle])).collect();
    assert_eq!(together.shown.len(), 3);
    let [a, b, c] = [0, 1, 2].map(|n| alone[n].probabilities.as_ref().unwrap()[1].values());
    assert!(a != b && b != c, "three initializations are three networks");
    let found = together.probabilities.as_ref().unwrap()[1].values();
    for (at, p) in found.iter().enumerate() {
        let mean = (a[at] + b[at] + c[at]) / 3.0;
        assert!((p - mean).abs() < 1e-6, "voxel {at}: {p} and {mean}");
        // Tumor core: labels 1 and 3.
        let is_core = matches!(together.labels.labels()[at], 1 | 3);
        assert!(is_core || *p <= 0.5, "voxel {at}");
    }
}

#[test]
fn the_selected_model_answers_alone_and_the_record_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 3, 30, 32).unwrap();
    let task = phantom::task();
    let cases = inputs::of_data_set(&path("data"), Split::All, &[], &task).unwrap().cases;
    let (device, default) = (Device::flex(), Settings::default());
    let make = |cases: &[_]| {
        measure::measure(models(), &default, cases, &device, &path("profile.json")).unwrap()
    };
    make(&cases[..2]);
    let others = [
        (Settings { flips: [true, false, false], ..default.clone() }, "flips: [], [\"right\"]"),
        (Settings { mode: Mode::Sliding, ..default.clone() }, "mode: \"auto\", \"sliding\""),
    ];
    for (other, part) in others {
        let mixed = measure::measure(models(), &other, &cases, &device, &path("profile.json"));
        let error = mixed.err().unwrap().to_string();
        assert!(error.contains(part) && error.ends_with("profile.json)"), "{error}");
    }
    let profile = make(&cases);
    assert_eq!((profile.cases.len(), profile.cases[0].dice.len()), (3, 3));
    let text = fs::read_to_string(path("profile.json")).unwrap();
    assert!(text.contains("Research use only") && profile.is_complete);

    let unused = Predictor::of(models(), Settings::default(), Some(profile.clone()), &device);
    let error = unused.err().unwrap().to_string();
    assert!(error.contains("--profile") && error.contains("--ensemble similarity"), "{error}");

    for ensemble in [Ensemble::Similarity, Ensemble::Literal] {
        let settings = Settings { ensemble, ..Settings::default() };
        let error = Predictor::of(models(), settings.clone(), None, &device).err().unwrap();
        assert!(error.to_string().contains("--profile"), "{error}");
        let predictor = Predictor::of(models(), settings, Some(profile.clone()), &device).unwrap();
        let found = find(&[path("data/imagesTr/phantom_00030.nii.gz")]);
        let out = path(&format!("{ensemble:?}"));
        predictor.write_all(&found, &out, Some(&text), false).unwrap();
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
        // The scan is in the profile: by similarity its own Dice decides.
        if ensemble == Ensemble::Similarity {
            let own = &profile.cases[0].dice;
            assert!(own.iter().all(|dice| *dice <= own[selection.chosen] + 1e-3), "{own:?}");
        }
    }
}

#[test]
fn models_of_different_tasks_do_not_answer_together() {
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
    b.card.task.channels.swap(0, 1);
    let error = members::read(&[first, write("c.safetensors", &b)]).unwrap_err().to_string();
    assert!(error.contains("T1Gd, T1, T2, FLAIR") && error.ends_with("c.safetensors)"), "{error}");
}

#[test]
fn a_cross_validations_folder_stands_for_its_folds() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["fold-0", "fold-1", "other"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let found = members::expand(&[folder.path().to_path_buf(), "model.safetensors".into()]);
    let expected = ["fold-0", "fold-1"].map(|fold| folder.path().join(fold));
    assert_eq!(found, [&expected[..], &["model.safetensors".into()]].concat());
}

/// Half precision of the weights moves logits by less than this, of logits up to about ten.
const F16_BOUND: f32 = 0.05;

#[test]
fn a_bundle_in_half_precision_is_half_as_large_and_predicts_nearly_the_same() {
    let bundle = models().remove(0);
    let (whole, half) = (bundle.to_bytes().unwrap(), bundle.to_f16_bytes().unwrap());
    let read = Bundle::from_bytes(&half).unwrap();
    assert_eq!(read, bundle.rounded_to_f16());
    assert_eq!(read.to_f16_bytes().unwrap(), half, "the same bytes each time");
    let num_weights: usize = bundle.weights.values().map(|array| array.values.len()).sum();
    assert!(whole.len() - half.len() >= 2 * num_weights - 64, "{} {}", whole.len(), half.len());
    let case = phantom::phantom(20, 32);
    let card = &bundle.card;
    let (input, _) = preprocess(&case.channels, &card.preprocess, &card.network).unwrap();
    let logits = |bundle: &Bundle| {
        let network = trainer_train::model::build(&card.network, &bundle.weights, &Device::flex());
        trainer_train::model::logits(&network.unwrap(), &input, &Device::flex())
    };
    let pairs = logits(&bundle).into_iter().zip(logits(&read));
    let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 0.0 && largest < F16_BOUND, "{largest}");
}
