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

/// The shortest word of an identity that is masked in descriptions. Initials are parts of many words.
const MIN_MASKED_LETTERS: usize = 3;

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

/// Returns a text of the file with "***" for each word of the patient's name, identifier or date of
/// birth: some sites write them into descriptions.
pub fn without_identity(file: &DicomFile, text: &str) -> String {
    let identity =
        FIELDS.iter().filter_map(|(tag, _)| file.text(*tag)).collect::<Vec<_>>().join(" ");
    let words: Vec<String> = split_words(&identity)
        .map(comparable)
        .filter(|word| word.chars().count() >= MIN_MASKED_LETTERS)
        .collect();
    let parts = text.split_inclusive(|c: char| !c.is_alphanumeric());
    let masked = parts.map(|part| {
        let word = part.trim_end_matches(|c: char| !c.is_alphanumeric());
        match words.contains(&comparable(word)) {
            true => part.replacen(word, "***", 1),
            false => part.to_string(),
        }
    });
    masked.collect()
}

fn split_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
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
