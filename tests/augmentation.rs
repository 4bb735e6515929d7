//! Augmentation moves labels with their intensities and interpolates as SciPy does.

use integration_tests::data;
use model_core::{Affine, Case, Grid, LabelMap, PreprocessConfig, Task, UNetConfig, Volume};
use trainer_data::augment::{Augmentation, ControlGrid, Elastic};
use trainer_data::cases::{PreparedCase, prepare_case};
use trainer_data::data_set::DataSet;
use trainer_data::patches::{PatchDraw, cut_patch};
use trainer_run::config::{AUGMENTATIONS, AugmentSettings, Sources, TrainConfig};
use trainer_run::reporter::Silent;
use trainer_run::rng::{RngStream, generator};

fn network(channels: usize) -> UNetConfig {
    let demo = UNetConfig::preset("demo", channels, 2).unwrap();
    demo.with(|demo| (demo.widths, demo.groups) = (vec![8, 16], Some(4))).unwrap()
}

/// Returns a case of 16³ voxels with the given intensity and label of each voxel index. Its second
/// channel is 1 everywhere.
fn case(value: impl Fn(usize) -> f32, label: impl Fn(usize) -> u8) -> PreparedCase {
    let grid = Grid::new([16; 3], Affine::IDENTITY);
    let indices = 0..grid.num_voxels();
    let voxels = indices.clone().map(|n| n as f32).collect();
    let volume = Volume::new(grid.clone(), voxels).unwrap();
    let labels = Some(LabelMap::new(grid, indices.clone().map(label).collect()).unwrap());
    let names = (1..7).map(|code| (code, code.to_string())).collect();
    let task = Task::exclusive("test", vec!["a".into(), "b".into()], names).unwrap();
    let case = Case::new("test", vec![volume; 2], labels, &task).unwrap();
    let mut prepared = prepare_case(case, &PreprocessConfig::default(), &network(2)).unwrap().0;
    assert_eq!(prepared.input.dims, [16; 3]);
    // Replaces the z-scores.
    prepared.input.values = indices.clone().map(value).chain(indices.map(|_| 1.0)).collect();
    prepared
}

/// `augmentation/golden.py` writes the expected numbers.
#[test]
fn patches_are_interpolated_as_in_scipy() {
    let case = case(|n| (n * 37 % 101) as f32 / 10.0, |n| (n * 53 % 7) as u8);
    let constant = |value| Some(ControlGrid { size: [1; 3], values: vec![value] });
    let augmentation = Augmentation {
        scan_from_patch: Some([
            [0.9137, -0.3071, 0.1113],
            [0.2579, 1.0531, -0.2087],
            [0.0533, 0.1499, 0.9551],
        ]),
        elastic: Some(Elastic { displacements: [0.4127, -0.7193, 0.2311].map(constant) }),
        ..Augmentation::none(2)
    };
    let draw = PatchDraw { start: [-2, 3, 4], augmentation };
    let (values, labels) = cut_patch(&case, &draw, [12, 10, 14]);
    let golden = [
        ([0, 0, 0], 2.79185, 3),
        ([6, 5, 7], 4.82409, 3),
        ([11, 2, 3], 6.67654, 0),
        ([3, 9, 13], 0.0, 0),
        ([5, 0, 1], 6.91662, 1),
        ([9, 7, 4], 7.07696, 4),
    ];
    for ([i, j, k], value, label) in golden {
        let at = i + 12 * (j + 10 * k);
        assert!((values[at] - value).abs() < 1e-4, "{} instead of {value}", values[at]);
        assert_eq!(labels[at], label);
    }
    let sum: f64 = values[..labels.len()].iter().map(|value| f64::from(*value)).sum();
    assert!((sum - 6367.68).abs() < 0.1, "{sum}");
    assert_eq!(labels.iter().map(|label| u32::from(*label)).sum::<u32>(), 3825);
}

/// In one half of the scan the label is 1 and the intensity 2, in the other 0 and 1.
#[test]
fn labels_move_with_their_intensities() {
    let is_right = |n: usize| n % 16 >= 8;
    let case = case(|n| if is_right(n) { 2.0 } else { 1.0 }, |n| u8::from(is_right(n)));
    for name in ["pendse", "brugger", "default"] {
        let mut settings = AugmentSettings::preset(name).unwrap();
        (settings.gain, settings.shift, settings.gamma, settings.noise) = (0.0, 0.0, 0.0, 0.0);
        settings.elastic_voxels = settings.elastic_voxels.map(|voxels| voxels / 8.0);
        let (mut compared, mut moved) = (0, 0);
        for number in 0..60 {
            let random = &mut generator(3, RngStream::Patch, number);
            let augmentation = Augmentation::draw(random, &settings, 2, [1.0; 3]);
            let (values, labels) =
                cut_patch(&case, &PatchDraw { start: [0; 3], augmentation }, [16; 3]);
            for (n, (&value, &label)) in values.iter().zip(&labels).enumerate() {
                let is_inside = values[4096 + n] > 1.0 - 1e-5;
                // An intensity of 1.5 is on the border of both labels.
                if is_inside && (value - 1.5).abs() > 1e-3 {
                    assert_eq!(label, u8::from(value > 1.5), "{name}: {value}");
                    compared += 1;
                    moved += usize::from(label != u8::from(is_right(n)));
                }
            }
        }
        assert!(compared > 60 * 2048 && moved > compared / 10, "{name}: {compared}, {moved}");
    }
}

#[test]
fn settings_and_the_command_line_name_a_preset() {
    let config = TrainConfig::parse("[augment]\npreset = \"brugger\"\nnoise = 0.2").unwrap();
    let brugger = AugmentSettings::brugger();
    assert_eq!(config.augment, AugmentSettings { noise: 0.2, ..brugger.clone() });
    let single = ["augment.preset=pendse", "augment.scale=0.3", "augment.flip=[true,false,false]"];
    let single = single.map(String::from);
    let sources = Sources { base: Some(&config), single: &single, ..Sources::default() };
    let expected = AugmentSettings {
        scale: [0.3; 3],
        flip: [true, false, false],
        ..AugmentSettings::pendse()
    };
    assert_eq!(sources.settings().unwrap().augment, expected);
    for recipe in ["pendse", "brugger"] {
        let config = TrainConfig::parse(&format!("recipe = \"{recipe}\"")).unwrap();
        assert_eq!(config.augment, AugmentSettings::preset(recipe).unwrap());
        assert!(config.full_volume);
    }
    let error = TrainConfig::parse("augment.preset = \"bruger\"").unwrap_err();
    assert!(format!("{error:#}").contains("did you mean `brugger`?"), "{error:#}");
}

#[test]
fn real_scans_stay_finite_and_keep_their_labels() {
    let Some(folder) = data("hippocampus") else { return };
    let data_set = DataSet::open(&folder, None, &Silent).unwrap();
    for number in 0..3 {
        let case = data_set.read(number).unwrap().case;
        let case = prepare_case(case, &PreprocessConfig::default(), &network(1)).unwrap().0;
        let patch = case.input.dims;
        let count = |labels: &[u8]| labels.iter().filter(|label| **label != 0).count();
        let before = count(&case.labels);
        for name in AUGMENTATIONS {
            let augment = AugmentSettings::preset(name).unwrap();
            // A displacement of ten voxels is too large for such a small scan.
            let elastic_voxels = augment.elastic_voxels.map(|voxels| voxels / 5.0);
            let augment = AugmentSettings { elastic_voxels, ..augment };
            let config =
                TrainConfig { patch, full_volume: true, augment, ..TrainConfig::default() };
            for number in 0..6 {
                let random = &mut generator(0, RngStream::Patch, number);
                let (values, labels) =
                    cut_patch(&case, &PatchDraw::draw(random, &config, &case), patch);
                assert!(values.iter().all(|value| value.is_finite()), "{name}");
                let ratio = count(&labels) as f64 / before as f64;
                assert!((0.3..3.0).contains(&ratio), "{name}: {ratio}");
            }
        }
    }
}
