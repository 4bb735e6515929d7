//! First step of viewing: finds the series in the files that a user drops, in any format.
//!
//! Files are recognized by their bytes, never by their names. Pixels stay encoded until a series is
//! read.

mod archive;
mod contents;
mod pairs;
mod series;
mod source_file;
mod thumbnail;

pub use super::summary::{AcquisitionHints, Plane, ScanFormat, SeriesSummary};
pub use series::{Series, SeriesScan};
pub use source_file::SourceFile;
pub use thumbnail::Thumbnail;

pub use super::dicom::Identity;
use super::dicom::{Arranged, arrange};
use crate::{Error, Result};
use contents::{Contents, EXPECTED};

/// The series in a set of files.
#[derive(Debug)]
pub struct Study {
    /// The series, by study and by number in it; then the scans of other formats, by path.
    pub series: Vec<Series>,
    /// Sentences for the user: files that were set aside, and why.
    pub notes: Vec<String>,
    /// The paths of files that could not be read, with the errors.
    pub refused: Vec<(String, Error)>,
    identity: Identity,
}

impl Study {
    /// Finds the series in a folder's files, in loose files and in ZIP archives. DICOM files need
    /// no ending; a DICOMDIR is not needed.
    ///
    /// # Errors
    /// [`Error::Scan`] if DICOM files belong to several patients, or if there is no scan and no file
    /// that could be one. The message holds no name, number or date of a patient.
    pub fn open(files: Vec<SourceFile>) -> Result<Study> {
        let contents = Contents::sort(files);
        let identity = Identity::of(contents.dicom.iter())?;
        let Arranged { series, mut notes, mut refused } = arrange(contents.dicom);
        let mut series: Vec<Series> = series.into_iter().map(Series::from_dicom).collect();
        let scans = pairs::join(contents.scans, &mut refused);
        for scan in scans {
            let path = scan.path.clone();
            match Series::from_scan(scan) {
                Ok(scan) => series.push(scan),
                Err(error) => refused.push((path.clone(), error.in_file(path))),
            }
        }
        notes.extend(contents.notes);
        refused.extend(contents.refused);
        if series.is_empty() && refused.is_empty() {
            let found = match notes.is_empty() {
                true => "none".to_string(),
                false => format!("none. {}", notes.join(" ")),
            };
            return Err(Error::scan(EXPECTED, found));
        }
        Ok(Study { series, notes, refused, identity })
    }

    /// Returns whose files these are, without a name.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}
