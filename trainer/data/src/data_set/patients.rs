//! Finds the patient of each case.
//!
//! The cases of one patient stay on one side of every split: a network trained on one of them would
//! be tested on nearly the same scan.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use anyhow::{Result, ensure};
use regex::Regex;

use super::{DataSet, equal_images};
use trainer_run::config::{BY_CASE, patient_pattern};

/// The number of patients that a note lists as examples.
const NUM_EXAMPLES: usize = 3;

/// The naming schemes of public data sets with several cases of a patient. The first group of a
/// pattern is the patient.
const RULES: [&str; 7] = [
    // BraTS since 2023, all its sets: BraTS-GLI-00005-100 and -101.
    r"^(brats-[a-z]+(?:-rt)?-[0-9]+)-[0-9]{1,3}$",
    // UCSF-PDGM-0391_FU016d, a follow-up of UCSF-PDGM-0391.
    r"^(ucsf-pdgm-[0-9]+)(?:_fu[0-9]+d)?(?:_nifti)?$",
    // UPENN-GBM-00001_11 before the operation, _21 after it.
    r"^(upenn-gbm-[0-9]+)_[0-9]+$",
    // TCGA-02-0003_1997.06.08: the patient's barcode and a date.
    r"^(tcga-[a-z0-9]{2}-[a-z0-9]{4})(?:[_.-].*)?$",
    // BIDS: sub-01_ses-02, and other entities of a subject.
    r"^(sub-[a-z0-9]+)_.+$",
    // OAS1_0001_MR2, OAS30001_MR_d0129.
    r"^(oas[0-9]_?[0-9]{4,5})_mr.*$",
    // 100001_time2, PatientID_0003_Timepoint_1, Patient-001_week-000-1.
    r"^(.*[a-z0-9])[_-](?:timepoint|time|tp|ses|session|visit|week|month|fu|followup)[_-]?[0-9][a-z0-9-]*$",
];

static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    RULES.iter().map(|rule| patient_pattern(rule).expect("the rules are fixed")).collect()
});

/// The patients of a data set's cases with labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patients {
    /// The number of each case's patient: the number of the patient's first case.
    pub by_case: Vec<usize>,
    /// The names of the cases of each patient with several cases.
    pub with_several_cases: Vec<Vec<String>>,
    /// The names of cases with equal images, with the SHA-256 of the images.
    pub equal_images: Vec<(Vec<String>, String)>,
}

impl Patients {
    /// Finds the patients of a data set's cases.
    ///
    /// `group_by` is a regular expression for the names of the cases. Its first group, or else its
    /// match, is the patient. With `case`, every case is its own patient. Without `group_by`, the
    /// patients are those that the data set states, or else those that the naming schemes of public
    /// data sets tell. Cases with equal images belong to one patient.
    ///
    /// # Errors
    /// Errors if `group_by` does not match the name of a case.
    pub fn find(data_set: &DataSet, group_by: Option<&str>) -> Result<Patients> {
        let names: Vec<&str> = data_set.cases.iter().map(|case| case.name.as_str()).collect();
        let equal = equal_images::find(&data_set.cases);
        let mut by_case: Vec<usize> = (0..names.len()).collect();
        if group_by != Some(BY_CASE) {
            let patient_names = match group_by {
                None => names.iter().map(|name| by_default(data_set, name)).collect(),
                Some(text) => by_pattern(&names, text)?,
            };
            let mut first: HashMap<String, usize> = HashMap::new();
            for (number, patient) in patient_names.into_iter().enumerate() {
                by_case[number] = *first.entry(patient).or_insert(number);
            }
            for (cases, _) in &equal {
                cases.windows(2).for_each(|two| merge_patients(&mut by_case, two[0], two[1]));
            }
        }
        let mut by_patient: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (patient, name) in by_case.iter().zip(&names) {
            by_patient.entry(*patient).or_default().push(name.to_string());
        }
        let with_several_cases = by_patient.into_values().filter(|cases| cases.len() > 1).collect();
        let named = |(cases, digest): (Vec<usize>, [u8; 32])| {
            let names = cases.iter().map(|&number| names[number].to_string()).collect();
            (names, hex::encode(digest))
        };
        let equal_images = equal.into_iter().map(named).collect();
        Ok(Patients { by_case, with_several_cases, equal_images })
    }

    /// Returns notes for the user about patients with several cases and about equal images.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let several = &self.with_several_cases;
        if !several.is_empty() {
            let cases: usize = several.iter().map(Vec::len).sum();
            let examples = several.iter().take(NUM_EXAMPLES).map(|cases| cases.join(" + "));
            let rest = if several.len() > NUM_EXAMPLES { ", …" } else { "" };
            let patients = match several.len() {
                1 => "one patient".to_string(),
                count => format!("{count} patients with several cases"),
            };
            notes.push(format!(
                "{cases} cases belong to {patients} and stay together in every split: {}{rest}",
                examples.collect::<Vec<_>>().join(", ")
            ));
        }
        for (cases, digest) in &self.equal_images {
            notes.push(format!(
                "equal images under {} (SHA-256 {})",
                cases.join(" and "),
                &digest[..16]
            ));
        }
        notes
    }
}

fn by_default(data_set: &DataSet, name: &str) -> String {
    if let Some(patient) = data_set.patients.get(name) {
        // The prefix keeps stated patients apart from patients told by case names.
        return format!("={patient}");
    }
    patient_of(name).to_lowercase()
}

/// Returns the patient that a case's name tells, or else the whole name.
fn patient_of(name: &str) -> &str {
    let found = PATTERNS.iter().find_map(|pattern| pattern.captures(name)?.get(1));
    found.map_or(name, |found| found.as_str())
}

fn by_pattern(names: &[&str], text: &str) -> Result<Vec<String>> {
    let pattern = patient_pattern(text)?;
    let patient = |name: &&str| {
        let found = pattern.captures(name)?;
        Some(found.get(1).or(found.get(0))?.as_str().to_lowercase())
    };
    let unmatched: Vec<&str> =
        names.iter().filter(|name| patient(name).is_none()).copied().collect();
    ensure!(
        unmatched.is_empty(),
        "expected --group-by {text:?} to match the name of every case, found no match in \
         {} of {}, such as {}",
        unmatched.len(),
        names.len(),
        unmatched[0]
    );
    Ok(names.iter().filter_map(patient).collect())
}

/// Merges the patients of two cases.
fn merge_patients(by_case: &mut [usize], a: usize, b: usize) {
    let (first, other) = (by_case[a].min(by_case[b]), by_case[a].max(by_case[b]));
    by_case.iter_mut().filter(|patient| **patient == other).for_each(|patient| *patient = first);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_names_of_public_data_sets_tell_the_patient() {
        for (name, patient) in [
            ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
            ("BraTS-GLI-00005-101", "BraTS-GLI-00005"),
            ("BraTS-MEN-RT-0060-1", "BraTS-MEN-RT-0060"),
            ("UCSF-PDGM-0391_FU016d", "UCSF-PDGM-0391"),
            ("UCSF-PDGM-0391", "UCSF-PDGM-0391"),
            ("UPENN-GBM-00001_21", "UPENN-GBM-00001"),
            ("TCGA-02-0003_1997.06.08", "TCGA-02-0003"),
            ("sub-01_ses-02", "sub-01"),
            ("100001_time2", "100001"),
            ("PatientID_0003_Timepoint_1", "PatientID_0003"),
            ("OAS1_0001_MR2", "OAS1_0001"),
            // In these data sets every case is another patient.
            ("BraTS2021_00005", "BraTS2021_00005"),
            ("BraTS20_Training_355", "BraTS20_Training_355"),
            ("Brats18_2013_2_1", "Brats18_2013_2_1"),
            ("BraTS-GoAT-00005", "BraTS-GoAT-00005"),
            ("hippocampus_001", "hippocampus_001"),
            ("BRATS_001", "BRATS_001"),
            ("subject-1", "subject-1"),
            ("case-0", "case-0"),
            ("time1", "time1"),
        ] {
            assert_eq!(patient_of(name), patient);
        }
    }

    #[test]
    fn a_pattern_names_the_patient_of_every_case() {
        let names = ["p1a", "p1b", "P2a"];
        assert_eq!(by_pattern(&names, r"^(p\d)").unwrap(), ["p1", "p1", "p2"]);
        assert_eq!(by_pattern(&names, r"\d").unwrap(), ["1", "1", "2"]);
        let error = by_pattern(&names, "(a)").unwrap_err().to_string();
        assert!(error.contains("1 of 3, such as p1b"), "{error}");
    }
}
