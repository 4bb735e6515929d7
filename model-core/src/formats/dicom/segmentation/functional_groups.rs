//! The geometry of the frames, and what they are derived from (PS3.3, sections C.7.6.16 and
//! C.7.6.17).

use super::frames::{FramePlace, Frames};
use super::modules::{code, slice_reference};
use crate::formats::dicom::attributes::Attributes;
use crate::formats::dicom::source::SourceSeries;
use crate::formats::dicom::tags::{self, written};
use crate::formats::segment::Code;

const SEGMENTATION: Code = Code { scheme: "DCM", value: "113076", meaning: "Segmentation" };

const SOURCE_IMAGE: Code =
    Code { scheme: "DCM", value: "121322", meaning: "Source image for image processing operation" };

/// Returns the order of the frames: by segment, then by position.
pub fn dimensions(organization: &str) -> Attributes {
    let dimension = |pointer, group, label| {
        Attributes::default()
            .text(written::DIMENSION_ORGANIZATION, "UI", organization)
            .pointer(written::DIMENSION_POINTER, pointer)
            .pointer(written::DIMENSION_GROUP, group)
            .text(written::DIMENSION_LABEL, "LO", label)
    };
    let uid = Attributes::default().text(written::DIMENSION_ORGANIZATION, "UI", organization);
    Attributes::default().item(written::DIMENSION_ORGANIZATIONS, uid).items(
        written::DIMENSIONS,
        vec![
            dimension(
                written::REFERENCED_SEGMENT,
                written::SEGMENT_IDENTIFICATION,
                "Referenced Segment Number",
            ),
            dimension(tags::IMAGE_POSITION, tags::POSITION_SEQUENCE, "Image Position (Patient)"),
        ],
    )
}

/// Returns the functional groups that all frames share, and those of each frame.
pub fn groups(source: &SourceSeries, frames: &Frames) -> Attributes {
    let [along_row, along_column] = source.spacing_mm;
    let measures = Attributes::default()
        // DICOM states the distance of rows first.
        .decimals(tags::PIXEL_SPACING, &[along_column, along_row])
        .decimals(tags::SLICE_THICKNESS, &[source.slice_thickness_mm])
        .decimals(tags::SPACING_BETWEEN_SLICES, &[source.slice_spacing_mm]);
    let directions = source.directions.map(|direction| direction.to_array());
    let orientation =
        Attributes::default().decimals(tags::IMAGE_ORIENTATION, directions.as_flattened());
    let shared = Attributes::default()
        .item(tags::PIXEL_MEASURES_SEQUENCE, measures)
        .item(tags::ORIENTATION_SEQUENCE, orientation);
    let own = frames.places.iter().map(|place| frame(source, *place)).collect();
    Attributes::default().item(tags::SHARED_GROUPS, shared).items(tags::PER_FRAME_GROUPS, own)
}

/// Returns the functional groups of a frame.
fn frame(source: &SourceSeries, FramePlace { segment, slice }: FramePlace) -> Attributes {
    let from_slice = &source.slices[slice];
    let numbers = [segment + 1, slice + 1].map(|number| number as u32);
    let content = Attributes::default().u32(written::DIMENSION_VALUES, &numbers);
    let position =
        Attributes::default().decimals(tags::IMAGE_POSITION, &from_slice.position.to_array());
    let segment = Attributes::default().u16(written::REFERENCED_SEGMENT, &[segment as u16 + 1]);
    let mut image = slice_reference(from_slice)
        .text(written::SPATIAL_LOCATIONS_PRESERVED, "CS", "YES")
        .item(written::PURPOSE_CODES, code(SOURCE_IMAGE));
    if let Some(number) = from_slice.frame_number {
        image = image.text(written::REFERENCED_FRAME, "IS", number.to_string());
    }
    let derivation = Attributes::default()
        .item(written::DERIVATION_CODES, code(SEGMENTATION))
        .item(written::SOURCE_IMAGES, image);
    Attributes::default()
        .item(tags::FRAME_CONTENT_SEQUENCE, content)
        .item(tags::POSITION_SEQUENCE, position)
        .item(written::SEGMENT_IDENTIFICATION, segment)
        .item(written::DERIVATION_IMAGES, derivation)
}
