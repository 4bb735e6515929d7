//! `rewind predict --engine wgsl` has the labels of the CPU, within its memory limit.

use std::fs;

use burn::tensor::Device;
use integration_tests::skipped;
use model_core::metrics::dice;
use model_core::{Case, LabelMap, Program, phantom, preprocess};
use shaders::kernels::Storage;
use shaders::{Engine, Plan};
use trainer_predict::backend::{Backend, EngineName};
use trainer_predict::extent::Extent;
use trainer_predict::record::Record;
use trainer_predict::settings::{Mode, Settings};
use trainer_predict::{Prediction, Predictor};
use trainer_run::reporter::Silent;

use crate::inference::{find, models};

/// Returns the GPU or software Vulkan.
///
/// Without either it prints "skipped: …" and returns `None`, or panics if `$REWIND_REQUIRE_GPU` is
/// set.
fn gpu() -> Option<Backend> {
    match Backend::wgsl() {
        Ok(backend) => Some(backend),
        Err(error) if std::env::var_os("REWIND_REQUIRE_GPU").is_some() => panic!("{error}"),
        Err(error) => {
            skipped(&error.to_string());
            None
        }
    }
}

fn segment(settings: Settings, backend: impl Into<Backend>, case: &Case) -> Prediction {
    let predictor = Predictor::ensemble(vec![models().remove(0)], settings, None, backend).unwrap();
    predictor.segment(case, |_| {}).unwrap()
}

fn within(memory: u64) -> Settings {
    Settings { memory_bytes: Some(memory), ..Settings::default() }
}

/// Returns the Dice of the foreground and of every region.
fn agreement(a: &LabelMap, b: &LabelMap) -> Vec<f64> {
    let foreground: Vec<u8> = (1..=u8::MAX).collect();
    let regions = phantom::task().regions.clone().into_iter().map(|region| region.labels);
    let rule = trainer_train::validate::RULE;
    let score = |labels: Vec<u8>| dice(a.labels(), b.labels(), &labels, rule);
    std::iter::once(foreground).chain(regions).map(score).collect()
}

/// Returns the bytes of the largest plan in f16, and of the smallest plan, for a phantom.
fn plan_bytes(case: &Case) -> (u64, u64) {
    let card = models().remove(0).card;
    let (input, _) = preprocess(case.channels(), &card.preprocess, &card.network).unwrap();
    let program = Program::new(&card.network, input.dims).unwrap();
    let mut plan = Plan::within(&program, u64::MAX).unwrap();
    assert_eq!(plan.options.storage, Storage::F32, "the first plan is the most precise");
    let mut in_f16 = None;
    while let Ok(smaller) = plan.smaller() {
        plan = smaller;
        if plan.options.storage == Storage::F16 {
            in_f16.get_or_insert(plan.footprint.total_bytes);
        }
    }
    (in_f16.expect("a plan in f16"), plan.footprint.total_bytes)
}

#[test]
fn labels_agree_with_the_cpu_in_f32_and_nearly_in_f16() {
    let Some(gpu) = gpu() else { return };
    let case = phantom::phantom(20, 32);
    let cpu = segment(Settings::default(), &Device::flex(), &case);
    let (f16_bytes, _) = plan_bytes(&case);
    for (memory, storage, min_dice) in [(1 << 30, "f32", 0.999), (f16_bytes, "f16", 0.99)] {
        let prediction = segment(within(memory), gpu.clone(), &case);
        let plan = prediction.extents[0].plan.clone().unwrap();
        assert_eq!((prediction.extents[0].extent, &*plan.storage), (Extent::FullVolume, storage));
        assert!(plan.peak_bytes <= memory, "{plan}");
        let dice = agreement(&cpu.labels, &prediction.labels);
        println!("{storage}: Dice {dice:?}");
        assert!(dice.iter().all(|dice| *dice >= min_dice), "{storage}: {dice:?}");
    }
}

/// Tiles are used only on request, because their result is another one.
#[test]
fn a_memory_limit_below_the_smallest_plan_is_an_error_with_the_needed_memory() {
    let Some(gpu) = gpu() else { return };
    let case = phantom::phantom(20, 32);
    let (_, smallest) = plan_bytes(&case);
    let predictor = |memory: u64| {
        Predictor::ensemble(vec![models().remove(0)], within(memory), None, gpu.clone()).unwrap()
    };
    assert!(predictor(smallest).segment(&case, |_| {}).is_ok());
    let error = predictor(smallest - 1).segment(&case, |_| {}).err().unwrap().to_string();
    let needed = format!("at least {} MiB", smallest.div_ceil(1 << 20));
    assert!(error.contains(&needed) && error.contains("--memory"), "{error}");
}

#[test]
fn every_step_is_timed_by_the_clock_of_the_gpu() {
    if gpu().is_none() {
        return;
    }
    let engine = pollster::block_on(Engine::with_clock()).unwrap();
    let bundle = models().remove(0);
    let program = Program::new(&bundle.card.network, [16; 3]).unwrap();
    let plan = Plan::within(&program, u64::MAX).unwrap();
    let started = std::time::Instant::now();
    let timed = engine.step_seconds(&plan, &bundle.weights, &[0.5; 4 << 12]);
    let seconds = match pollster::block_on(timed) {
        Ok(seconds) => seconds,
        Err(error) => return skipped(&error.to_string()),
    };
    let (elapsed, sum) = (started.elapsed().as_secs_f64(), seconds.iter().sum::<f64>());
    assert_eq!(seconds.len(), plan.steps.len());
    assert!(sum > 0.0 && sum < elapsed, "{sum} s of steps in {elapsed} s");
    let rate = pollster::block_on(engine.copy_rate(1 << 20)).unwrap();
    assert!(rate.kernel.is_finite() && rate.kernel > 1e6, "{rate:?}");
}

#[test]
fn tiles_and_flips_agree_with_the_cpu_and_the_record_contains_the_gpu_and_the_plan() {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    trainer_data::phantom::write(&path("data"), 1, 20, 32, &Silent).unwrap();
    let cases = find(&[path("data/imagesTr/phantom_00020.nii.gz")]);
    let settings = Settings {
        mode: Mode::Tiles,
        flips: [true, false, false],
        probabilities: true,
        ..Settings::default()
    };
    let case = phantom::phantom(20, 32);
    let cpu = segment(settings.clone(), &Device::flex(), &case);
    let predictor =
        Predictor::ensemble(vec![models().remove(0)], settings, None, gpu.clone()).unwrap();
    let outcome = predictor.write_all(&cases, &path("out"), None, false, &Silent).unwrap();
    assert_eq!((outcome.num_segmented, &outcome.faults[..]), (1, &[][..]));
    assert!(outcome.summary().contains("maps in f32"), "{}", outcome.summary());

    let labels = fs::read(path("out/phantom_00020.nii.gz")).unwrap();
    let labels = model_core::formats::nifti::read_labels(&labels).unwrap();
    let dice = agreement(&cpu.labels, &labels);
    assert!(dice.iter().all(|dice| *dice >= 0.999), "{dice:?}");
    let prediction = predictor.segment(&case, |_| {}).unwrap();
    let pairs = cpu.probabilities.unwrap().into_iter().zip(prediction.probabilities.unwrap());
    for (a, b) in pairs {
        let differences = a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs());
        let largest = differences.fold(0.0, f32::max);
        assert!(largest < 1e-3, "{largest}");
    }

    let record = Record::find(&path("out/phantom_00020.json")).unwrap();
    assert_eq!((record.made_by.engine, record.device), (EngineName::Wgsl, gpu.describe()));
    let chosen = &record.extents[0];
    assert_eq!(chosen.extent, Extent::Tiles { tile_dims: [24; 3], overlap: 0.5 });
    let plan = chosen.plan.as_ref().unwrap();
    assert!(plan.storage == "f32" && plan.peak_bytes > 0 && plan.multiply_adds > 0, "{plan}");

    // Results of different engines are never mixed.
    let cpu = Predictor::new(models().remove(0), &Device::flex()).unwrap();
    let refused =
        cpu.write_all(&cases, &path("out"), None, false, &Silent).unwrap_err().to_string();
    assert!(refused.contains("engine: \"wgsl\", \"cpu\""), "{refused}");
}
