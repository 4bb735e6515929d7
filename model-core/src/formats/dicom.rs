//! First step of viewing: reads slices from DICOM files, and arranges them to series.
//!
//! The format: <https://www.dicomstandard.org/current>, PS3.3 (attributes), PS3.5 (encoding). Only
//! the attributes that a scan needs are read. Names, identifiers and dates are compared inside this
//! module and never leave it.

mod data_set;
mod file;
mod frame;
mod hints;
mod identity;
mod image;
mod localizer;
mod parser;
mod pixels;
mod series;
mod stack;
mod tags;
mod transfer_syntax;

pub(super) use file::{DicomFile, is_dicom};
pub use identity::Identity;
pub(super) use series::{Arranged, DicomSeries, arrange};
