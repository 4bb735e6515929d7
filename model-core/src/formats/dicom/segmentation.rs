//! Last step of viewing: writes the regions of a label map as a segmentation of a series (PS3.3,
//! section A.51), in Explicit VR Little Endian.

mod display_color;
mod frames;
mod functional_groups;
mod modules;

use super::attributes::Attributes;
use super::local_time::LocalTime;
use super::series::DicomSeries;
use super::source::SourceSeries;
use super::tags::{self, written};
use crate::formats::segmentation::{self, Segment};
use crate::{Error, Grid, LabelMap, Result};
use frames::Frames;

/// Segmentation Storage.
const CLASS: &str = "1.2.840.10008.5.1.4.1.1.66.4";

/// Explicit VR Little Endian.
const TRANSFER_SYNTAX: &str = "1.2.840.10008.1.2.1";

/// The program's own identifier, made once from a random UUID.
const IMPLEMENTATION: &str = "2.25.207660748763638969758954336109846065523";

/// The content of a written segmentation beside its voxels.
#[derive(Debug, Clone, PartialEq)]
pub struct DicomSegmentation {
    /// The segments. Their numbers in the file are those of their order, from 1.
    pub segments: Vec<Segment>,
    /// The name of the model that made the label map.
    pub algorithm: String,
    /// Whether the label map was changed by hand.
    pub is_edited: bool,
    /// The time at which the file is made.
    pub created: LocalTime,
    /// Four random numbers, for the new identifiers of the series, the instance, the order of its
    /// frames, and the frame of reference if the source states none.
    pub random_bits: [u128; 4],
}

/// The identifiers that are made for a file.
struct NewIdentifiers {
    series: String,
    instance: String,
    dimensions: String,
    frame_of_reference: String,
}

impl DicomSeries {
    /// Writes a segmentation of the volume with the index `channel`.
    ///
    /// # Errors
    /// See [`Series::write_segmentation`](crate::formats::study::Series::write_segmentation).
    pub fn write_segmentation(
        &self,
        channel: usize,
        map: &LabelMap,
        segmentation: &DicomSegmentation,
    ) -> Result<Vec<u8>> {
        segmentation::check(&segmentation.segments)?;
        let source = SourceSeries::new(&self.stack, channel)?;
        Grid::new(self.summary.dims, self.stack.world_from_voxel).check_same(map.grid())?;
        let frames = Frames::pack(map, &segmentation.segments)?;
        let identifiers = NewIdentifiers::new(segmentation.random_bits);
        let [columns, rows, _] = self.summary.dims.map(|size| u16::try_from(size).ok());
        let (Some(columns), Some(rows)) = (columns, rows) else {
            return Err(Error::segmentation("slices of at most 65535 pixels", "larger ones"));
        };
        let attributes = modules::patient_and_study(&source)
            .with(modules::series(&source, segmentation, &identifiers))
            .with(modules::segments(&source, segmentation))
            .with(modules::references(&source))
            .with(functional_groups::dimensions(&identifiers.dimensions))
            .with(functional_groups::groups(&source, &frames))
            .text(tags::NUMBER_OF_FRAMES, "IS", frames.places.len().to_string())
            .u16(tags::ROWS, &[rows])
            .u16(tags::COLUMNS, &[columns])
            .bytes(tags::PIXELS, "OB", frames.bits);
        let mut out = meta(&identifiers.instance)?;
        attributes.write(&mut out)?;
        Ok(out)
    }
}

impl NewIdentifiers {
    fn new(random_bits: [u128; 4]) -> NewIdentifiers {
        let [series, instance, dimensions, frame_of_reference] = random_bits.map(uid);
        NewIdentifiers { series, instance, dimensions, frame_of_reference }
    }
}

/// Returns the identifier of a random UUID (PS3.5, section B.2; version 4 of RFC 9562).
fn uid(random_bits: u128) -> String {
    let version = random_bits & !(0xf << 76) | 0x4 << 76;
    let uuid = version & !(0x3 << 62) | 0x2 << 62;
    format!("2.25.{uuid}")
}

/// Returns the preamble and the meta information of a file (PS3.10, section 7.1).
fn meta(instance: &str) -> Result<Vec<u8>> {
    let mut attributes = Vec::new();
    Attributes::default()
        .bytes(written::META_VERSION, "OB", vec![0, 1])
        .text(tags::MEDIA_CLASS, "UI", CLASS)
        .text(written::MEDIA_INSTANCE, "UI", instance)
        .text(tags::TRANSFER_SYNTAX, "UI", TRANSFER_SYNTAX)
        .text(written::IMPLEMENTATION_CLASS, "UI", IMPLEMENTATION)
        .text(written::IMPLEMENTATION_VERSION, "SH", "REWIND")
        .write(&mut attributes)?;
    let mut out = [&[0; 128][..], b"DICM"].concat();
    let length = attributes.len() as u32;
    Attributes::default().u32(written::META_LENGTH, &[length]).write(&mut out)?;
    out.extend(attributes);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_random_uuid() {
        // uuid.UUID(int=0, version=4).int and uuid.UUID(int=2**128-1, version=4).int in Python.
        assert_eq!(uid(0), "2.25.302240678275694148452352");
        assert_eq!(uid(u128::MAX), "2.25.340282366920937632322261936355783213055");
    }
}
