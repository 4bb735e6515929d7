//! First step of viewing: reads slices from DICOM files, and arranges them to series. Last step of
//! viewing: writes a segmentation of a series.
//!
//! The format: <https://www.dicomstandard.org/current>, PS3.3 (attributes), PS3.5 (encoding). Only
//! the attributes that a scan needs are read. Names, identifiers and dates are compared inside this
//! module. They leave it in a written segmentation alone, which is filed with its patient's study.
//!
//! The parser and the writer are our own: dicom-object adds 262 kB, compressed, to a page of 576 kB. The codecs that
//! are our own (RLE, JPEG, JPEG-LS) add 10 kB, JPEG 2000 adds 58 kB, and its High-Throughput form
//! 46 kB (feature `htj2k`).

mod attributes;
mod data_set;
mod file;
mod frame;
mod hints;
mod identity;
mod image;
mod local_time;
mod localizer;
mod parser;
mod pixels;
mod segmentation;
mod series;
mod source;
mod stack;
mod tags;
mod transfer_syntax;

pub(super) use file::{DicomFile, is_dicom};
pub use identity::Identity;
pub use local_time::LocalTime;
pub use segmentation::DicomSegmentation;
pub(super) use series::{Arranged, DicomSeries, arrange};
