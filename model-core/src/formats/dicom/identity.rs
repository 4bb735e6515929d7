//! Compares whose files these are. Names, identifiers and dates stay inside this file.

use super::file::DicomFile;
use super::tags;
use crate::{Error, Result};

/// Errors if the files belong to several patients.
///
/// Names, identifiers and dates of birth are compared. A file that lacks one of them, as after
/// removal of the identity, fits every patient in this respect.
///
/// # Errors
/// [`Error::Scan`], without the names.
pub fn check_one_patient<'a>(files: impl Iterator<Item = &'a DicomFile>) -> Result<()> {
    let fields = [
        (tags::PATIENT_ID, "identifiers"),
        (tags::PATIENT_NAME, "names"),
        (tags::PATIENT_BIRTH_DATE, "dates of birth"),
    ];
    let mut found: [Vec<String>; 3] = Default::default();
    for file in files {
        for ((tag, _), values) in fields.iter().zip(&mut found) {
            let value = file.text(*tag).map(|text| comparable(&text)).unwrap_or_default();
            if !value.is_empty() && !values.contains(&value) {
                values.push(value);
            }
        }
    }
    let different = fields.iter().zip(&found).find(|(_, values)| values.len() > 1);
    let Some(((_, what), values)) = different else { return Ok(()) };
    Err(Error::scan(
        "files of one patient",
        format!("{} different {what} of patients in the DICOM files", values.len()),
    ))
}

/// Returns the letters and digits of a text in lower case: writers differ in separators.
fn comparable(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
