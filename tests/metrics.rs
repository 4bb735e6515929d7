//! Scores agree with other tools, and every case is in the report.

use std::fs;
use std::path::Path;

use integration_tests::data;
use model_core::metrics::{
    Connectivity, EmptyRule, Scores, Settings, Surface, components, lesion_scores, score,
    surface_distances,
};
use model_core::{Affine, Grid, LabelMap, Task, formats::nifti};
use serde_json::Value;
use trainer_evaluate::{Evaluation, Missing, Options, evaluate, find_task};
use trainer_run::reporter::Silent;

/// The tolerance of distances. Other tools also compute in 32 bits.
const TOLERANCE_MM: f64 = 1e-4;

/// Returns the scores of other tools, written by `metrics/golden.py`.
fn golden() -> Value {
    serde_json::from_str(include_str!("metrics/golden.json")).unwrap()
}

fn numbers<const N: usize>(value: &Value) -> [f64; N] {
    let list = value.as_array().unwrap();
    assert_eq!(list.len(), N);
    std::array::from_fn(|n| list[n].as_f64().unwrap())
}

/// Draws ellipsoids as the script does, in integers.
fn draw(case: &Value, which: &str) -> LabelMap {
    let dims = numbers::<3>(&case["dims"]).map(|n| n as usize);
    let grid = Grid::new(dims, Affine::from_spacing(numbers(&case["spacing_mm"])));
    let mut labels = vec![0; grid.num_voxels()];
    for shape in case[which].as_array().unwrap() {
        let [code, numbers @ ..] = numbers::<7>(shape).map(|n| n as i64);
        let edges: [i64; 3] = std::array::from_fn(|axis| 2 * numbers[3 + axis] + 1);
        let whole: i64 = edges.iter().product();
        for (at, label) in labels.iter_mut().enumerate() {
            let voxel = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
            let term = |axis: usize| {
                let distance = 2 * (voxel[axis] as i64 - numbers[axis]) * (whole / edges[axis]);
                distance * distance
            };
            if (0..3).map(term).sum::<i64>() <= whole * whole {
                *label = code as u8;
            }
        }
    }
    LabelMap::new(grid, labels).unwrap()
}

/// Calls `check` with every case's description, label maps, codes and expected scores.
fn for_each_case(mut check: impl FnMut(&str, &LabelMap, &LabelMap, &[u8], &Value)) {
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let (predicted, reference) = (draw(case, "predicted"), draw(case, "reference"));
        for expected in case["scores"].as_array().unwrap() {
            let codes = expected["codes"].as_array().unwrap().iter();
            let codes: Vec<u8> = codes.map(|code| code.as_u64().unwrap() as u8).collect();
            let name = format!("{}, {codes:?}", case["name"]);
            check(&name, &predicted, &reference, &codes, expected);
        }
    }
}

fn assert_near(case: &str, score: &str, actual: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    let is_near = (actual - expected).abs() <= tolerance;
    assert!(is_near, "{case}: {score} {actual}, expected {expected}");
}

#[test]
fn dice_distances_and_volumes_agree_with_other_tools() {
    let tolerances: [f64; 3] = numbers(&golden()["tolerances_mm"]);
    let mut num_compared = 0;
    for_each_case(|name, predicted, reference, codes, expected| {
        for (surface, n) in Surface::ALL.into_iter().flat_map(|s| [(s, 0), (s, 1), (s, 2)]) {
            let tolerance_mm = tolerances[n];
            let settings = Settings { rule: EmptyRule::Nnunet, tolerance_mm, surface };
            let actual = score(predicted, reference, codes, &settings);
            assert_near(name, "predicted ml", actual.predicted_ml, &expected["predicted_ml"], 1e-8);
            assert_near(name, "reference ml", actual.reference_ml, &expected["reference_ml"], 1e-8);
            let are_present = actual.predicted_ml > 0.0 && actual.reference_ml > 0.0;
            assert_eq!(are_present, expected.get("dice").is_some(), "{name}");
            if are_present {
                assert_near(name, "Dice", actual.dice, &expected["dice"], 1e-8);
                if surface == Surface::Voxels {
                    assert_near(name, "HD", actual.hd_mm, &expected["hd_mm"], TOLERANCE_MM);
                }
                let expected = &expected[surface.name()];
                let name = format!("{name} by {}", surface.name());
                assert_near(&name, "HD95", actual.hd95_mm, &expected["hd95_mm"], TOLERANCE_MM);
                assert_near(&name, "NSD", actual.nsd, &expected["nsd"][n], 1e-6);
                num_compared += 1;
            }
        }
    });
    assert!(num_compared > 200, "{num_compared}");
}

#[test]
fn lesion_scores_follow_the_rule_of_brats() {
    let mut totals = [0; 4];
    for_each_case(|name, predicted, reference, codes, expected| {
        let expected = &expected["lesions"];
        for surface in Surface::ALL {
            let actual = lesion_scores(predicted, reference, codes, surface);
            let hd95_mm = &expected["hd95_mm"][surface.name()];
            assert_near(name, "lesion Dice", actual.dice, &expected["dice"], 1e-8);
            assert_near(name, "lesion HD95", actual.hd95_mm, hd95_mm, TOLERANCE_MM);
            let counts = [
                actual.num_lesions,
                actual.num_missed,
                actual.num_false_positives,
                actual.num_small,
            ];
            assert_eq!(counts.map(|n| n as f64), numbers(&expected["counts"]), "{name}");
            totals = std::array::from_fn(|n| totals[n] + counts[n]);
        }
    });
    assert!(totals.iter().all(|&count| count > 0), "{totals:?}");
}

/// Returns labels of 240 × 240 × 155 voxels with an ellipsoid, moved along each axis, and a voxel
/// in two corners.
fn full_size(shift: f64) -> LabelMap {
    let grid = Grid::new([240, 240, 155], Affine::IDENTITY);
    let mut labels = vec![0; grid.num_voxels()];
    for (at, label) in labels.iter_mut().enumerate() {
        let voxel = [at % 240, at / 240 % 240, at / (240 * 240)].map(|x| x as f64);
        let distance = |axis: usize| (voxel[axis] - 75.0 - shift) / [60.0, 50.0, 40.0][axis];
        *label = u8::from((0..3).map(|axis| distance(axis).powi(2)).sum::<f64>() < 1.0);
    }
    (labels[0], labels[240 * 240 * 155 - 1]) = (1, 1);
    LabelMap::new(grid, labels).unwrap()
}

/// `rewind-bench metrics` measures the time.
#[test]
fn surface_distances_cover_a_full_size_volume() {
    let (predicted, reference) = (full_size(3.0), full_size(0.0));
    for surface in Surface::ALL {
        let found = surface_distances(&predicted, &reference, &[1], surface).unwrap();
        assert!((2.0..6.0).contains(&found.hd95_mm()), "{}", found.hd95_mm());
    }
    let mask: Vec<bool> = predicted.labels().iter().map(|&label| label == 1).collect();
    assert_eq!(components(&mask, predicted.grid().dims, Connectivity::Corner).count(), 3);
}

#[test]
fn a_real_tumor_shifted_by_two_voxels_has_a_distance_of_two_millimeters() {
    let file = "brats/BraTS-GLI-00000-000/BraTS-GLI-00000-000-seg.nii.gz";
    let Some(file) = data(file) else { return };
    let reference = nifti::read_labels(&fs::read(file).unwrap()).unwrap();
    let mut shifted = reference.clone();
    shifted.labels_mut().rotate_right(2);
    for region in &Task::builtin("brats2023").unwrap().regions {
        let codes = &region.labels;
        let found = surface_distances(&shifted, &reference, codes, Surface::Voxels).unwrap();
        assert!((found.hd_mm() - 2.0).abs() < TOLERANCE_MM, "{}: {}", region.name, found.hd_mm());
        assert_eq!(found.nsd(2.0), 1.0, "{}", region.name);
        assert!(found.nsd(1.0) < 1.0, "{}", region.name);
    }
}

fn write(file: &Path, labels: &[u8]) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let grid = Grid::new([labels.len(), 1, 1], Affine::IDENTITY);
    fs::write(file, nifti::write_labels(&LabelMap::new(grid, labels.to_vec()).unwrap())).unwrap();
}

/// Writes three references, the third without labels, and a prediction of the first.
fn write_one_of_three(folder: &Path) {
    write(&folder.join("predicted/a.nii.gz"), &[1, 1, 0, 0]);
    write(&folder.join("reference/a.nii.gz"), &[1, 0, 0, 1]);
    write(&folder.join("reference/b.nii.gz"), &[1, 0, 0, 0]);
    write(&folder.join("reference/c.nii.gz"), &[0, 0, 0, 0]);
}

fn evaluate_in(folder: &Path, options: Options) -> anyhow::Result<Evaluation> {
    evaluate(&folder.join("predicted"), &folder.join("reference"), &options, &Silent)
}

#[test]
fn a_missing_prediction_is_an_error_or_counted_or_reported() {
    let folder = tempfile::tempdir().unwrap();
    write_one_of_three(folder.path());
    let with = |missing| {
        evaluate_in(folder.path(), Options { missing, lesion_wise: true, ..Options::default() })
    };
    let error = with(Missing::Refuse).unwrap_err().to_string();
    assert!(["2:", "\n  b\n", "\n  c\n"].iter().all(|part| error.contains(part)), "{error}");

    let worst = with(Missing::Worst).unwrap();
    let dice: Vec<f64> = worst.cases.iter().map(|case| case.scores[0].dice).collect();
    assert_eq!(dice, [0.5, 0.0, 0.0]);
    let summary = worst.summaries()[0];
    assert_eq!((summary.n, summary.mean), (3, 0.5 / 3.0));
    assert!(worst.report().contains("2 references without a prediction"));

    let skipped = with(Missing::Skip).unwrap();
    assert_eq!((skipped.cases.len(), &skipped.skipped[..]), (1, &["b".into(), "c".into()][..]));
    assert!(skipped.report().contains("not scored: b, c"), "{}", skipped.report());
}

#[test]
fn reports_state_their_rules_and_contain_no_nan() {
    let folder = tempfile::tempdir().unwrap();
    write_one_of_three(folder.path());
    for case in ["b", "c"] {
        write(&folder.path().join(format!("predicted/{case}.nii.gz")), &[0, 0, 0, 0]);
    }
    let rule = EmptyRule::Monai;
    let settings = Settings { rule, tolerance_mm: 1.5, surface: Surface::Areas };
    let options = Options { settings, lesion_wise: true, ..Options::default() };
    let result = evaluate_in(folder.path(), options).unwrap();
    let Scores { dice, hd95_mm, .. } = result.cases[1].scores[0];
    assert_eq!((dice, hd95_mm), (0.0, 18f64.sqrt()));
    assert!(result.cases[2].scores[0].dice.is_nan());

    let (csv, json) = (folder.path().join("scores.csv"), folder.path().join("scores.json"));
    result.write_csv(&csv).unwrap();
    result.write_json(&json).unwrap();
    let [csv, json] = [csv, json].map(|file| fs::read_to_string(file).unwrap());
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("case,region,dice,hd95_mm,hd_mm,nsd,predicted_ml,reference_ml"));
    assert!(lines[1].starts_with("a,label 1,0.500000,"), "{}", lines[1]);
    assert!(lines[3].starts_with("c,label 1,,,,,0.000000,0.000000"), "{}", lines[3]);
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["empty_rule"], &value["tolerance_mm"]), (&"monai".into(), &1.5.into()));
    assert!(value["cases"][2]["regions"][0]["dice"].is_null());
    assert_eq!(value["regions"][0]["summary"]["dice"]["n"], 2);
    assert_eq!(value["cases"][0]["regions"][0]["lesions"]["num_small"], 1);
    for text in [&csv, &json, &result.report()] {
        assert!(["monai", "1.5", "area"].iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}

#[test]
fn all_files_that_cannot_be_compared_are_in_one_error() {
    let folder = tempfile::tempdir().unwrap();
    for case in ["a", "b", "c", "d"] {
        write(&folder.path().join(format!("predicted/{case}.nii.gz")), &[0, 1, 2, 3]);
        write(&folder.path().join(format!("reference/{case}.nii.gz")), &[0, 1, 2, 3]);
    }
    write(&folder.path().join("predicted/b.nii.gz"), &[0, 1, 2]);
    write(&folder.path().join("reference/c.nii.gz"), &[0, 1, 2, 4]);
    fs::write(folder.path().join("predicted/d.nii.gz"), b"no label map").unwrap();
    let task = find_task(Some("brats2023"), folder.path()).unwrap();
    let error = evaluate_in(folder.path(), Options { task, ..Options::default() });
    let error = error.unwrap_err().to_string();
    // Another size, a label of another year's challenge, and a file that is not NIfTI.
    let parts = ["3 of 4 cases", "4 × 1 × 1", "found [4]", "b.nii.gz", "c.nii.gz", "d.nii.gz"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    assert!(find_task(Some("brats"), folder.path()).is_err());
}
