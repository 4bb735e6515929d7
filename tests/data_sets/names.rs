//! Public data sets open with the file names of their publication.

use std::fs;
use std::path::Path;

use model_core::Task;
use trainer_data::data_set::{DataSet, Layout};
use trainer_data::inspect::Inspection;
use trainer_evaluate::{Options, evaluate};
use trainer_run::reporter::Silent;

use super::trees;

fn open(folder: &Path) -> DataSet {
    DataSet::open(folder, Some("brats2021"), &Silent).unwrap()
}

/// Returns the file names of the first case.
fn files(data_set: &DataSet) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let case = &data_set.cases[0];
    case.images.iter().chain(&case.label).map(name).collect()
}

/// Scans, unstripped scans, labels of experts and labels made by an algorithm are in separate
/// folders.
#[test]
fn upenn_gbm_opens_with_its_published_names() {
    let folder = tempfile::tempdir().unwrap();
    let id = "UPENN-GBM-00001_11";
    for part in ["T1", "T1GD", "T2", "FLAIR"] {
        let path =
            |kind: &str, end: &str| format!("NIfTI-files/{kind}/{id}/{id}_{part}{end}.nii.gz");
        trees::write_named(
            folder.path(),
            &[&path("images_structural", ""), &path("images_structural_unstripped", "_unstripped")],
        );
    }
    let segm = format!("NIfTI-files/images_segm/{id}_segm.nii.gz");
    let automatic = format!("NIfTI-files/automated_segm/{id}_automated_approx_segm.nii.gz");
    let dti = format!("NIfTI-files/images_DTI/{id}/{id}_DTI_FA.nii.gz");
    trees::write_named(folder.path(), &[&segm, &automatic, &dti]);
    let data_set = open(folder.path());
    assert_eq!((data_set.layout, &data_set.faults[..]), (Layout::BratsUntil2022, &[][..]));
    let expected = ["T1", "T1GD", "T2", "FLAIR", "segm"].map(|part| format!("{id}_{part}.nii.gz"));
    assert_eq!(files(&data_set), expected);
    let unused = data_set.unused_files.text().unwrap_or_default();
    for part in ["t1gd unstripped", "automatedapproxsegm", "(fa)"] {
        assert!(unused.contains(part), "{part} in {unused}");
    }
    // Without labels of experts, those of the algorithm are used, with a note.
    fs::remove_file(folder.path().join(segm)).unwrap();
    let data_set = open(folder.path());
    assert!(files(&data_set)[4].contains("automated"), "{:?}", files(&data_set));
    assert!(data_set.notes[0].contains("labels made by an algorithm"), "{:?}", data_set.notes);
}

#[test]
fn ucsf_pdgm_opens_with_its_published_names() {
    let folder = tempfile::tempdir().unwrap();
    let id = "UCSF-PDGM-0004";
    let parts = [
        "ADC",
        "ASL",
        "DTI_eddy_FA",
        "DTI_eddy_noreg",
        "DWI",
        "DWI_bias",
        "FLAIR",
        "FLAIR_bias",
        "SWI",
        "T1",
        "T1_bias",
        "T1c",
        "T1c_bias",
        "T2",
        "T2_bias",
        "brain_parenchyma_segmentation",
        "brain_segmentation",
        "tumor_segmentation",
    ];
    let name = |part: &str| format!("{id}_nifti/{id}_{part}.nii.gz");
    parts.iter().for_each(|part| trees::write_named(folder.path(), &[&name(part)]));
    trees::relabel(&folder.path().join(name("tumor_segmentation")), 3, 4);
    let data_set = open(folder.path());
    assert_eq!(data_set.faults, []);
    let expected = ["T1", "T1c", "T2", "FLAIR", "tumor_segmentation"]
        .map(|part| format!("{id}_{part}.nii.gz"));
    assert_eq!((files(&data_set), &data_set.cases[0].name[..]), (expected.to_vec(), id));
    let report = Inspection::new(data_set, &Silent).report();
    for part in [
        "no faults",
        "not used:",
        "1 × scans of channels that the task does not have (adc)",
        "bias",
    ] {
        assert!(report.contains(part), "{part} in {report}");
    }
    // A published subset has only the bias-corrected scans.
    ["T1", "T1c", "T2", "FLAIR"].iter().for_each(|part| {
        fs::remove_file(folder.path().join(name(part))).unwrap();
    });
    assert!(files(&open(folder.path()))[3].ends_with("FLAIR_bias.nii.gz"));
    // An evaluation uses the labels, and not the brain masks.
    let predicted = tempfile::tempdir().unwrap();
    let prediction = predicted.path().join(format!("{id}.nii.gz"));
    fs::copy(folder.path().join(name("tumor_segmentation")), prediction).unwrap();
    let task = Some(Task::builtin("brats2021").unwrap());
    let options = Options { task, ..Options::default() };
    assert_eq!(
        evaluate(predicted.path(), folder.path(), &options, &Silent).unwrap().cases.len(),
        1
    );
}

#[test]
fn capital_letters_in_file_names_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["T1", "T1CE", "T2", "Flair", "SEG"] {
        trees::write_named(folder.path(), &[&format!("A/A_{part}.NII.GZ")]);
    }
    assert_eq!(open(folder.path()).cases.len(), 1);
    let nnunet = tempfile::tempdir().unwrap();
    trees::Source::new(2).write_nnunet(nnunet.path(), false);
    let file = |name: &str| nnunet.path().join(name);
    fs::rename(file("imagesTr/case-0_0001.nii.gz"), file("imagesTr/case-0_0001.NII.GZ")).unwrap();
    fs::rename(file("labelsTr/case-1.nii.gz"), file("labelsTr/case-1.Nii.gz")).unwrap();
    let data_set = DataSet::open(nnunet.path(), None, &Silent).unwrap();
    assert_eq!((data_set.cases.len(), &data_set.faults[..]), (2, &[][..]));
    fs::copy(file("imagesTr/case-0_0001.NII.GZ"), file("imagesTr/case-0_0001.nii.gz")).unwrap();
    let faults = DataSet::open(nnunet.path(), None, &Silent).unwrap().faults;
    assert!(faults[0].message.contains("expected one file, found two"), "{faults:?}");
}

#[test]
fn two_files_that_could_be_a_channel_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["t1", "t1ce", "t2", "flair", "seg", "t1w"] {
        trees::write_named(folder.path(), &[&format!("A/A_{name}.nii.gz")]);
    }
    let data_set = open(folder.path());
    let fault = data_set.faults[0].to_string();
    assert!(data_set.cases.is_empty() && fault.contains("A_t1.nii.gz and"), "{fault}");
}
