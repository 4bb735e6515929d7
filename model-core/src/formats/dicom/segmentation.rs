//! Last step of viewing: writes the regions of a label map as a segmentation of a series (PS3.3,
//! section A.51), in Explicit VR Little Endian.

mod content;
mod display_color;
mod frames;
mod functional_groups;
mod identifiers;
mod modules;

use super::attributes::Attributes;
use super::series::DicomSeries;
use super::source::SourceSeries;
use super::tags::{self, written};
use crate::formats::segment;
use crate::{Error, Grid, LabelMap, Result};
pub use content::DicomSegmentation;
use frames::Frames;
use identifiers::{CLASS, IMPLEMENTATION, NewIdentifiers, TRANSFER_SYNTAX};

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
        segment::check(&segmentation.segments)?;
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
