//! Compares whose files these are. Names, identifiers and dates stay inside this file.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::file::DicomFile;
use super::tags::{self, Tag};
use crate::{Error, Result};

/// The fields that are compared.
const FIELDS: [(Tag, &str); 3] = [
    (tags::PATIENT_ID, "identifiers"),
    (tags::PATIENT_NAME, "names"),
    (tags::PATIENT_BIRTH_DATE, "dates of birth"),
];

/// The patient of DICOM files, as SHA-256 digests, which show no name.
///
/// Names, identifiers and dates of birth are compared. A file that lacks one of them, as after
/// removal of the identity, fits every patient in this respect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity([Option<String>; FIELDS.len()]);

impl Identity {
    /// Returns the patient of the files.
    ///
    /// # Errors
    /// [`Error::Scan`] if the files belong to several patients, without the names.
    pub fn of<'a>(files: impl Iterator<Item = &'a DicomFile>) -> Result<Identity> {
        let mut found: [Vec<String>; FIELDS.len()] = Default::default();
        for file in files {
            for ((tag, _), values) in FIELDS.iter().zip(&mut found) {
                let value = file.text(*tag).map(|text| comparable(&text)).unwrap_or_default();
                if !value.is_empty() && !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        let different = FIELDS.iter().zip(&found).find(|(_, values)| values.len() > 1);
        match different {
            Some(((_, what), values)) => Err(several(values.len(), what)),
            None => Ok(Identity(
                found.map(|values| values.first().map(|value| hex::encode(Sha256::digest(value)))),
            )),
        }
    }

    /// Errors if this is another patient.
    ///
    /// # Errors
    /// As [`Identity::of`].
    pub fn check_same(&self, other: &Identity) -> Result<()> {
        let pairs = FIELDS.iter().zip(self.0.iter().zip(&other.0));
        let mut different = pairs.filter(|(_, (a, b))| a.is_some() && b.is_some() && a != b);
        match different.next() {
            Some(((_, what), _)) => Err(several(2, what)),
            None => Ok(()),
        }
    }
}

fn several(count: usize, what: &str) -> Error {
    Error::scan(
        "files of one patient",
        format!("{count} different {what} of patients in the DICOM files"),
    )
}

/// Returns the letters and digits of a text in lower case: writers differ in separators.
fn comparable(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
