//! The modules of a segmentation beside its frames (PS3.3, annex C).

use std::collections::HashSet;

use super::content::DicomSegmentation;
use super::display_color::cielab;
use super::identifiers::{CLASS, NewIdentifiers};
use crate::formats::dicom::attributes::Attributes;
use crate::formats::dicom::source::{SourceSeries, SourceSlice};
use crate::formats::dicom::tags::{self, Tag, written};
use crate::formats::segment::{Code, Segment, terminology};
use crate::texts::DISCLAIMER;

/// The most characters of a long string (LO).
const MAX_LONG: usize = 64;

/// What is added to the number of the source's series.
const SERIES_NUMBER_OFFSET: f64 = 1000.0;

/// Attributes of the patient and the study that are written even if they are empty (type 2).
const REQUIRED: [(Tag, &str); 10] = [
    (tags::STUDY_DATE, "DA"),
    (tags::STUDY_TIME, "TM"),
    (tags::ACCESSION_NUMBER, "SH"),
    (tags::REFERRING_PHYSICIAN, "PN"),
    (tags::PATIENT_NAME, "PN"),
    (tags::PATIENT_ID, "LO"),
    (tags::PATIENT_BIRTH_DATE, "DA"),
    (tags::PATIENT_SEX, "CS"),
    (tags::STUDY_ID, "SH"),
    (tags::POSITION_REFERENCE, "LO"),
];

/// Attributes that are written if they are not empty.
const OPTIONAL: [(Tag, &str); 2] =
    [(tags::STUDY_DESCRIPTION, "LO"), (tags::PATIENT_ID_ISSUER, "LO")];

/// Returns the patient and the study of the source.
pub fn patient_and_study(source: &SourceSeries) -> Attributes {
    let mut out = Attributes::default()
        .text(tags::CHARACTER_SET, "CS", source.character_set())
        .text(tags::STUDY_UID, "UI", &source.study);
    for (tag, vr) in REQUIRED {
        out = out.bytes(tag, vr, source.text(tag));
    }
    for (tag, vr) in OPTIONAL {
        let text = source.text(tag);
        if !text.is_empty() {
            out = out.bytes(tag, vr, text);
        }
    }
    // The removal of the identity is stated together with its method.
    let method = source.text(tags::DEIDENTIFICATION_METHOD);
    if !method.is_empty() {
        out = out.bytes(tags::IDENTITY_REMOVED, "CS", source.text(tags::IDENTITY_REMOVED)).bytes(
            tags::DEIDENTIFICATION_METHOD,
            "LO",
            method,
        );
    }
    out
}

/// Returns the new series, its equipment and its instance.
pub fn series(
    source: &SourceSeries,
    segmentation: &DicomSegmentation,
    identifiers: &NewIdentifiers,
) -> Attributes {
    let [date, time] = [segmentation.created.date(), segmentation.created.time()];
    let number = source.series_number().unwrap_or(0.0).clamp(0.0, 1e9) + SERIES_NUMBER_OFFSET;
    let description = source.new_text(&format!("{DISCLAIMER}: segmentation"), MAX_LONG);
    let frame_of_reference =
        source.frame_of_reference.as_ref().unwrap_or(&identifiers.frame_of_reference);
    Attributes::default()
        .text(tags::IMAGE_TYPE, "CS", "DERIVED\\PRIMARY")
        .text(tags::SOP_CLASS, "UI", CLASS)
        .text(tags::SOP_INSTANCE, "UI", &identifiers.instance)
        .text(written::CREATION_DATE, "DA", &date)
        .text(written::CREATION_TIME, "TM", &time)
        .text(written::SERIES_DATE, "DA", &date)
        .text(written::SERIES_TIME, "TM", &time)
        .text(written::CONTENT_DATE, "DA", &date)
        .text(written::CONTENT_TIME, "TM", &time)
        .text(tags::MODALITY, "CS", "SEG")
        .text(written::MANUFACTURER, "LO", "Rewind")
        .text(tags::SERIES_DESCRIPTION, "LO", description)
        .text(written::MODEL_NAME, "LO", "Rewind")
        // Required, and a program has none.
        .text(written::DEVICE_SERIAL, "LO", "0")
        .text(written::SOFTWARE_VERSIONS, "LO", env!("CARGO_PKG_VERSION"))
        .text(tags::SERIES_UID, "UI", &identifiers.series)
        .text(tags::SERIES_NUMBER, "IS", format!("{number:.0}"))
        .text(tags::INSTANCE_NUMBER, "IS", "1")
        .text(tags::FRAME_OF_REFERENCE, "UI", frame_of_reference)
        .text(written::CONTENT_LABEL, "CS", "RESEARCH_USE")
        .text(written::CONTENT_DESCRIPTION, "LO", DISCLAIMER)
        .text(written::CONTENT_CREATOR, "PN", "")
}

/// Returns the segments, and the form of their pixels.
pub fn segments(source: &SourceSeries, segmentation: &DicomSegmentation) -> Attributes {
    let segments = &segmentation.segments;
    let overlap = segments.iter().enumerate().any(|(n, segment)| {
        let mut others = segments[..n].iter();
        others.any(|other| segment.overlaps(other))
    });
    let items = segments.iter().enumerate();
    let items = items.map(|(n, segment)| item(source, segmentation, n, segment)).collect();
    let mut out = Attributes::default()
        .u16(tags::SAMPLES_PER_PIXEL, &[1])
        .text(tags::PHOTOMETRIC_INTERPRETATION, "CS", "MONOCHROME2")
        .u16(tags::BITS_ALLOCATED, &[1])
        .u16(tags::BITS_STORED, &[1])
        .u16(tags::HIGH_BIT, &[0])
        .u16(tags::PIXEL_REPRESENTATION, &[0])
        .text(tags::LOSSY_COMPRESSION, "CS", if source.lossy.is_some() { "01" } else { "00" })
        .text(written::SEGMENTATION_TYPE, "CS", "BINARY")
        .text(written::SEGMENTS_OVERLAP, "CS", if overlap { "YES" } else { "NO" })
        .items(written::SEGMENTS, items);
    let loss = [(tags::LOSSY_COMPRESSION_RATIO, "DS"), (tags::LOSSY_COMPRESSION_METHOD, "CS")];
    for (tag, vr) in loss {
        let text = source.lossy.map(|file| source.text_of(file, tag)).unwrap_or_default();
        if !text.is_empty() {
            out = out.bytes(tag, vr, text);
        }
    }
    out
}

fn item(
    source: &SourceSeries,
    segmentation: &DicomSegmentation,
    n: usize,
    segment: &Segment,
) -> Attributes {
    let terms = terminology(&segment.name);
    let algorithm = source.new_text(&segmentation.algorithm, MAX_LONG);
    // Required: a name of the algorithm that is not empty.
    let algorithm = if algorithm.is_empty() { "Rewind".to_string() } else { algorithm };
    let algorithm_type = if segmentation.is_edited { "SEMIAUTOMATIC" } else { "AUTOMATIC" };
    Attributes::default()
        .item(written::CATEGORY_CODES, code(terms.category))
        .u16(written::SEGMENT_NUMBER, &[n as u16 + 1])
        .text(written::SEGMENT_LABEL, "LO", source.new_text(&segment.name, MAX_LONG))
        .text(written::SEGMENT_DESCRIPTION, "ST", DISCLAIMER)
        .text(written::ALGORITHM_TYPE, "CS", algorithm_type)
        .text(written::ALGORITHM_NAME, "LO", algorithm)
        .u16(written::DISPLAY_COLOR, &cielab(segment.color))
        .item(written::PROPERTY_CODES, code(terms.property))
}

/// Returns the list of the instances that the frames refer to.
pub fn references(source: &SourceSeries) -> Attributes {
    // One file holds several frames.
    let mut known = HashSet::new();
    let slices = source.slices.iter().filter(|slice| known.insert(&slice.instance));
    let instances = slices.map(slice_reference).collect();
    let series = Attributes::default()
        .text(tags::SERIES_UID, "UI", &source.series)
        .items(written::REFERENCED_INSTANCES, instances);
    Attributes::default().item(written::REFERENCED_SERIES, series)
}

/// Returns the class and the identifier of a slice's file.
pub fn slice_reference(slice: &SourceSlice) -> Attributes {
    Attributes::default().text(written::REFERENCED_CLASS, "UI", &slice.class).text(
        written::REFERENCED_INSTANCE,
        "UI",
        &slice.instance,
    )
}

/// Returns a coded term.
pub fn code(Code { scheme, value, meaning }: Code) -> Attributes {
    Attributes::default()
        .text(written::CODE_VALUE, "SH", value)
        .text(written::CODE_SCHEME, "SH", scheme)
        .text(written::CODE_MEANING, "LO", meaning)
}
