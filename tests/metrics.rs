//! Scores are those of the field's other tools, are quick, and hide no case.

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

/// How far a distance in mm may be from another tool's, which measures in 32 bits too.
const TOLERANCE_MM: f64 = 1e-4;

/// What other tools found; `golden.py` beside it makes it.
fn golden() -> Value {
    serde_json::from_str(include_str!("metrics/golden.json")).unwrap()
}

fn numbers<const N: usize>(value: &Value) -> [f64; N] {
    let list = value.as_array().unwrap();
    assert_eq!(list.len(), N);
    std::array::from_fn(|n| list[n].as_f64().unwrap())
}

/// Draws ellipsoids, as the script does, in whole numbers.
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
                let away = 2 * (voxel[axis] as i64 - numbers[axis]) * (whole / edges[axis]);
                away * away
            };
            if (0..3).map(term).sum::<i64>() <= whole * whole {
                *label = code as u8;
            }
        }
    }
    LabelMap::new(grid, labels).unwrap()
}

/// Calls with every case's name, maps, codes and golden scores.
fn for_all(mut check: impl FnMut(&str, &LabelMap, &LabelMap, &[u8], &Value)) {
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let (predicted, reference) = (draw(case, "predicted"), draw(case, "reference"));
        for wanted in case["scores"].as_array().unwrap() {
            let codes = wanted["codes"].as_array().unwrap().iter();
            let codes: Vec<u8> = codes.map(|code| code.as_u64().unwrap() as u8).collect();
            let about = format!("{}, {codes:?}", case["name"]);
            check(&about, &predicted, &reference, &codes, wanted);
        }
    }
}

fn near(about: &str, name: &str, found: f64, wanted: &Value, most: f64) {
    let wanted = wanted.as_f64().unwrap();
    assert!((found - wanted).abs() <= most, "{about}: {name} {found}, expected {wanted}");
}

#[test]
fn dice_distances_and_volumes_are_those_of_other_tools() {
    let tolerances: [f64; 3] = numbers(&golden()["tolerances_mm"]);
    let mut num_compared = 0;
    for_all(|about, predicted, reference, codes, wanted| {
        for (surface, n) in Surface::ALL.into_iter().flat_map(|s| [(s, 0), (s, 1), (s, 2)]) {
            let tolerance_mm = tolerances[n];
            let settings = Settings { rule: EmptyRule::Nnunet, tolerance_mm, surface };
            let found = score(predicted, reference, codes, &settings);
            near(about, "predicted ml", found.predicted_ml, &wanted["predicted_ml"], 1e-8);
            near(about, "reference ml", found.reference_ml, &wanted["reference_ml"], 1e-8);
            let both = found.predicted_ml > 0.0 && found.reference_ml > 0.0;
            assert_eq!(both, wanted.get("dice").is_some(), "{about}");
            if both {
                near(about, "Dice", found.dice, &wanted["dice"], 1e-8);
                if surface == Surface::Voxels {
                    near(about, "HD", found.hd_mm, &wanted["hd_mm"], TOLERANCE_MM);
                }
                let wanted = &wanted[surface.name()];
                let about = format!("{about} by {}", surface.name());
                near(&about, "HD95", found.hd95_mm, &wanted["hd95_mm"], TOLERANCE_MM);
                near(&about, "NSD", found.nsd, &wanted["nsd"][n], 1e-6);
                num_compared += 1;
            }
        }
    });
    assert!(num_compared > 200, "{num_compared}");
}

#[test]
fn lesions_are_scored_as_the_rule_of_brats_says() {
    let mut seen = [0; 4];
    for_all(|about, predicted, reference, codes, wanted| {
        let wanted = &wanted["lesions"];
        for surface in Surface::ALL {
            let found = lesion_scores(predicted, reference, codes, surface);
            let hd95_mm = &wanted["hd95_mm"][surface.name()];
            near(about, "lesion Dice", found.dice, &wanted["dice"], 1e-8);
            near(about, "lesion HD95", found.hd95_mm, hd95_mm, TOLERANCE_MM);
            let counts =
                [found.num_lesions, found.num_missed, found.num_false_positives, found.num_small];
            assert_eq!(counts.map(|n| n as f64), numbers(&wanted["counts"]), "{about}");
            seen = std::array::from_fn(|n| seen[n] + counts[n]);
        }
    });
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}

/// Nested ellipsoids in a volume of 240 × 240 × 155 voxels, and a voxel in two of its corners.
fn full_size(moved: f64) -> LabelMap {
    let grid = Grid::new([240, 240, 155], Affine::IDENTITY);
    let mut labels = vec![0; grid.num_voxels()];
    for (at, label) in labels.iter_mut().enumerate() {
        let voxel = [at % 240, at / 240 % 240, at / (240 * 240)].map(|x| x as f64);
        let away = |axis: usize| (voxel[axis] - 75.0 - moved) / [60.0, 50.0, 40.0][axis];
        *label = u8::from((0..3).map(|axis| away(axis).powi(2)).sum::<f64>() < 1.0);
    }
    (labels[0], labels[240 * 240 * 155 - 1]) = (1, 1);
    LabelMap::new(grid, labels).unwrap()
}

/// How long it takes is told by `rewind-bench metrics`.
#[test]
fn a_case_of_full_size_is_measured_from_corner_to_corner() {
    let (predicted, reference) = (full_size(3.0), full_size(0.0));
    for surface in Surface::ALL {
        let found = surface_distances(&predicted, &reference, &[1], surface).unwrap();
        assert!((2.0..6.0).contains(&found.hd95_mm()), "{}", found.hd95_mm());
    }
    let mask: Vec<bool> = predicted.labels().iter().map(|&label| label == 1).collect();
    assert_eq!(components(&mask, predicted.grid().dims, Connectivity::Corner).count(), 3);
}

#[test]
fn a_real_tumor_moved_by_two_voxels_is_two_millimetres_away() {
    let file = "brats/BraTS-GLI-00000-000/BraTS-GLI-00000-000-seg.nii.gz";
    let Some(file) = data(file) else { return };
    let reference = nifti::read_labels(&fs::read(file).unwrap()).unwrap();
    let mut moved = reference.clone();
    moved.labels_mut().rotate_right(2);
    for region in Task::builtin("brats2023").unwrap().regions {
        let codes = &region.labels;
        let found = surface_distances(&moved, &reference, codes, Surface::Voxels).unwrap();
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

/// A prediction of one of three references; the third is empty.
fn one_of_three(folder: &Path) {
    write(&folder.join("predicted/a.nii.gz"), &[1, 1, 0, 0]);
    write(&folder.join("reference/a.nii.gz"), &[1, 0, 0, 1]);
    write(&folder.join("reference/b.nii.gz"), &[1, 0, 0, 0]);
    write(&folder.join("reference/c.nii.gz"), &[0, 0, 0, 0]);
}

fn evaluated(folder: &Path, options: Options) -> anyhow::Result<Evaluation> {
    evaluate(&folder.join("predicted"), &folder.join("reference"), &options)
}

#[test]
fn a_missing_prediction_never_vanishes_from_a_mean() {
    let folder = tempfile::tempdir().unwrap();
    one_of_three(folder.path());
    let with = |missing| {
        evaluated(folder.path(), Options { missing, lesion_wise: true, ..Options::default() })
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
fn reports_state_their_rules_and_hold_no_nan() {
    let folder = tempfile::tempdir().unwrap();
    one_of_three(folder.path());
    for case in ["b", "c"] {
        write(&folder.path().join(format!("predicted/{case}.nii.gz")), &[0, 0, 0, 0]);
    }
    let rule = EmptyRule::Monai;
    let settings = Settings { rule, tolerance_mm: 1.5, surface: Surface::Areas };
    let options = Options { settings, lesion_wise: true, ..Options::default() };
    let result = evaluated(folder.path(), options).unwrap();
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
fn files_that_cannot_be_compared_are_all_named() {
    let folder = tempfile::tempdir().unwrap();
    for case in ["a", "b", "c", "d"] {
        write(&folder.path().join(format!("predicted/{case}.nii.gz")), &[0, 1, 2, 3]);
        write(&folder.path().join(format!("reference/{case}.nii.gz")), &[0, 1, 2, 3]);
    }
    write(&folder.path().join("predicted/b.nii.gz"), &[0, 1, 2]);
    write(&folder.path().join("reference/c.nii.gz"), &[0, 1, 2, 4]);
    fs::write(folder.path().join("predicted/d.nii.gz"), b"no label map").unwrap();
    let task = find_task(Some("brats2023"), folder.path()).unwrap();
    let error = evaluated(folder.path(), Options { task, ..Options::default() });
    let error = error.unwrap_err().to_string();
    // Of another size; with a label that is another year's; no NIfTI file.
    let parts = ["3 of 4 cases", "4 × 1 × 1", "found [4]", "b.nii.gz", "c.nii.gz", "d.nii.gz"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    assert!(find_task(Some("brats"), folder.path()).is_err());
}
