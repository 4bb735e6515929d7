use super::*;

fn brats() -> Vec<String> {
    ["T1", "T1Gd", "T2", "FLAIR"].map(String::from).to_vec()
}

/// Returns the case (empty for `None`), the content and the variant of a name.
fn read(name: &str) -> (String, ScanContent, String) {
    let ScanName { case, content, variant, .. } = ScanName::parse(name, &brats());
    (case.unwrap_or_default(), content, variant)
}

#[test]
fn names_of_public_data_sets_are_parsed() {
    use ScanContent::{Channel, Labels, OtherChannel, OtherMask};
    for (name, case, content, variant) in [
        ("Brats18_2013_2_1_t1ce.nii.gz", "Brats18_2013_2_1", Channel(1), ""),
        ("BraTS-GLI-00005-100-t1n.nii.gz", "BraTS-GLI-00005-100", Channel(0), ""),
        ("BraTS-GLI-00005-100-seg.nii.gz", "BraTS-GLI-00005-100", Labels, ""),
        ("BraTS20_Training_355_flair.nii", "BraTS20_Training_355", Channel(3), ""),
        ("W39_1998.09.19_Segm.nii", "W39_1998.09.19", Labels, ""),
        ("UPENN-GBM-00001_11_T1GD.nii.gz", "UPENN-GBM-00001_11", Channel(1), ""),
        ("UPENN-GBM-00001_11_FLAIR.NII.GZ", "UPENN-GBM-00001_11", Channel(3), ""),
        ("UPENN-GBM-00001_11_segm.nii.gz", "UPENN-GBM-00001_11", Labels, ""),
        ("UPENN-GBM-00001_11_T2_unstripped.nii.gz", "UPENN-GBM-00001_11", Channel(2), "unstripped"),
        (
            "UPENN-GBM-00001_11_automated_approx_segm.nii.gz",
            "UPENN-GBM-00001_11",
            Labels,
            "automatic",
        ),
        ("UPENN-GBM-00001_11_DTI_FA.nii.gz", "UPENN-GBM-00001_11_DTI", OtherChannel, ""),
        ("UCSF-PDGM-0004_T1c_bias.nii.gz", "UCSF-PDGM-0004", Channel(1), "bias"),
        ("UCSF-PDGM-0004_T1c.nii.gz", "UCSF-PDGM-0004", Channel(1), ""),
        ("UCSF-PDGM-0391_FU016d_FLAIR_bias.nii.gz", "UCSF-PDGM-0391_FU016d", Channel(3), "bias"),
        ("UCSF-PDGM-0004_tumor_segmentation.nii.gz", "UCSF-PDGM-0004", Labels, ""),
        ("UCSF-PDGM-0004_brain_segmentation.nii.gz", "UCSF-PDGM-0004", OtherMask, ""),
        ("UCSF-PDGM-0004_brain_parenchyma_segmentation.nii.gz", "UCSF-PDGM-0004", OtherMask, ""),
        ("UCSF-PDGM-0004_ADC.nii.gz", "UCSF-PDGM-0004", OtherChannel, ""),
        ("UCSF-PDGM-0004_SWI_bias.nii.gz", "UCSF-PDGM-0004", OtherChannel, "bias"),
        ("TCGA-02-0003_1997.06.08_t1Gd.nii.gz", "TCGA-02-0003_1997.06.08", Channel(1), ""),
        (
            "TCGA-02-0003_1997.06.08_GlistrBoost_ManuallyCorrected.nii.gz",
            "TCGA-02-0003_1997.06.08",
            Labels,
            "",
        ),
        (
            "TCGA-02-0003_1997.06.08_GlistrBoost.nii.gz",
            "TCGA-02-0003_1997.06.08",
            Labels,
            "automatic",
        ),
        (
            "PatientID_0003_Timepoint_1_brain_t1c.nii.gz",
            "PatientID_0003_Timepoint_1",
            Channel(1),
            "",
        ),
        ("PatientID_0003_Timepoint_1_tumorMask.nii.gz", "PatientID_0003_Timepoint_1", Labels, ""),
        ("100001_time1_t1ce-t1.nii.gz", "100001_time1", OtherChannel, ""),
        ("BraTS-MEN-RT-0060-1_gtv.nii.gz", "BraTS-MEN-RT-0060-1", Labels, ""),
        ("sub-01_ses-02_ce-gadolinium_T1w.nii.gz", "sub-01_ses-02", Channel(1), ""),
        ("sub-01_T2-FLAIR.nii", "sub-01", Channel(3), ""),
        ("sub-01_desc-brain_mask.nii.gz", "sub-01_desc", OtherMask, ""),
        ("subject-1-T1.hdr", "subject-1", Channel(0), ""),
        ("subject-1-label.hdr", "subject-1", Labels, ""),
        ("patient 7 T2 FLAIR.nii.gz", "patient 7", Channel(3), ""),
        ("x_t1_seg.nii.gz", "x", Labels, ""),
        (concat!("x_tumo", "ur_seg.nii.gz"), "x", Labels, ""),
        ("a_seg.nii.gz", "a", Labels, ""),
        ("x_aseg.nii.gz", "x", OtherMask, ""),
        ("x_mask.nii.gz", "x", Labels, "mask"),
        ("x_flair_t1.nii.gz", "x_flair", OtherChannel, ""),
        ("T1GD.nii.gz", "", Channel(1), ""),
        ("seg.nii.gz", "", Labels, ""),
    ] {
        assert_eq!(read(name), (case.into(), content, variant.into()), "{name}");
    }
}

#[test]
fn a_number_may_be_a_channel_and_other_names_are_unknown() {
    assert_eq!(read("BRATS_001_0003.nii.gz").1, ScanContent::Numbered(3));
    assert_eq!(read("case_0001").0, "case");
    for name in ["BRATS_001", "_0001", "case_00001", "x-0001", "hippocampus_204.nii.gz", "", "T1x"]
    {
        let found = read(name);
        assert_eq!(
            (found.1, &found.0[..]),
            (ScanContent::Unknown, scan_stem(name).unwrap_or(name))
        );
    }
}

#[test]
fn a_name_may_begin_with_its_modality() {
    let found = ScanName::parse("T1_patient1.nii.gz", &brats());
    assert_eq!(
        (found.content, found.case.as_deref(), found.is_at_end),
        (ScanContent::Channel(0), Some("patient1"), false)
    );
    let found = ScanName::parse("t1_study_t2.nii.gz", &brats());
    assert_eq!((found.content, found.case.as_deref()), (ScanContent::Channel(2), Some("t1_study")));
    assert_eq!(read("PD_014.nii.gz").1, ScanContent::Unknown, "a group of patients, or a modality");
}

#[test]
fn a_channel_that_was_not_requested_is_another_channel() {
    let flair = ["FLAIR".to_string()];
    let content = |name: &str| ScanName::parse(name, &flair).content;
    assert_eq!(content("x-t2f.nii.gz"), ScanContent::Channel(0));
    assert_eq!(content("x-t2w.nii.gz"), ScanContent::OtherChannel);
    assert_eq!(content("x-seg.nii.gz"), ScanContent::Labels);
    assert_eq!(ScanName::parse("x_b-1000.nii", &["b-1000".into()]).case.as_deref(), Some("x"));
    let own = ["ADC".to_string(), "b-1000".to_string(), "seg".to_string()];
    let content = |name: &str| ScanName::parse(name, &own).content;
    assert_eq!(
        (content("x_adc.nii"), content("x_b1000.nii")),
        (ScanContent::Channel(0), ScanContent::Channel(1))
    );
    assert_eq!(
        content("x_seg.nii"),
        ScanContent::Channel(2),
        "a task's own channels take precedence"
    );
}

#[test]
fn names_of_all_years_mean_the_same_channel() {
    assert!(is_same_channel("T1Gd", "t1ce") && is_same_channel("T2-FLAIR", "t2f"));
    assert!(!is_same_channel("T1", "T1Gd") && !is_same_channel("CT", "T1"));
    assert!(is_same_channel("b-1000", "B1000"));
    assert_eq!(usual_file_names("t1gd"), ["t1ce", "t1c"]);
    assert_eq!(usual_file_names("CT"), ["CT"]);
}

#[test]
fn the_case_of_an_endings_letters_does_not_matter() {
    assert_eq!(scan_stem("CASE.NII.GZ"), Some("CASE"));
    assert_eq!(scan_stem("case.Hdr"), Some("case"));
    assert_eq!((scan_stem(".nii"), scan_stem("a.img"), scan_stem("a.gz")), (None, None, None));
    assert_eq!(strip_ending("aé", ".nii.gz"), None);
}

#[test]
fn scans_of_every_format_have_a_stem_and_those_of_data_sets_are_told_apart() {
    for name in ["x_t1.nrrd", "x_t1.MGZ", "x_t1.mgh", "x_t1.dcm", "x_t1.IMA"] {
        assert_eq!((scan_stem(name), nifti_stem(name)), (Some("x_t1"), None), "{name}");
        assert_eq!(read(name).1, ScanContent::Channel(0), "{name}");
    }
    assert_eq!((scan_stem("x.nii.gz"), nifti_stem("x.hdr")), (Some("x"), Some("x")));
    assert_eq!((scan_stem("x.nhdr"), scan_stem(".dcm")), (None, None));
}
