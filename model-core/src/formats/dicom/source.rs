//! The attributes of a series that a segmentation of it repeats: the patient, the study, the frame
//! of reference and the slices. They leave this module in a written segmentation alone.

use glam::DVec3;

use super::file::DicomFile;
use super::frame::Frame;
use super::stack::Stack;
use super::tags::{self, Tag};
use crate::formats::lps::lps_from_ras;
use crate::{Error, Result};

/// The longest unique identifier (PS3.5, section 9).
const MAX_UID_CHARS: usize = 64;

/// The character sets whose texts are rewritten in UTF-8. Texts in other ones are repeated as they
/// are stored.
const REWRITTEN: [&str; 4] = ["", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192"];

/// The series that was segmented.
pub struct SourceSeries<'a> {
    file: &'a DicomFile,
    /// The character set of the texts that are repeated as they are stored.
    stored_character_set: Option<String>,
    pub study: String,
    pub series: String,
    pub frame_of_reference: Option<String>,
    /// The slices along the third axis of the grid.
    pub slices: Vec<SourceSlice>,
    /// The directions of a row and of a column in LPS+.
    pub directions: [DVec3; 2],
    /// The distances of pixels along a row and along a column.
    pub spacing_mm: [f64; 2],
    pub slice_spacing_mm: f64,
    pub slice_thickness_mm: f64,
    /// The file with the loss of a compression, if there is one.
    pub lossy: Option<&'a DicomFile>,
}

/// A slice of the series.
pub struct SourceSlice {
    pub class: String,
    pub instance: String,
    /// The number from 1 in a file of several frames.
    pub frame_number: Option<usize>,
    /// The center of the first pixel, in LPS+.
    pub position: DVec3,
}

impl<'a> SourceSeries<'a> {
    /// Returns the attributes of one volume of a series.
    ///
    /// # Errors
    /// [`Error::Segmentation`] if the slices are not a volume or state no position, if the series has no
    /// such volume, or if an identifier is missing or invalid. The message holds no identifier.
    pub fn new(stack: &'a Stack, channel: usize) -> Result<SourceSeries<'a>> {
        if let Some([expected, found]) = &stack.problem {
            return Err(Error::segmentation(expected, found));
        }
        let frames = stack.channels.get(channel).filter(|frames| !frames.is_empty());
        let frames = frames.ok_or_else(|| {
            let expected = format!("one of the series' {} volumes", stack.channels.len());
            Error::segmentation(expected, format!("volume {}", channel + 1))
        })?;
        let file = &*frames[0].file;
        let character_set = file.text(tags::CHARACTER_SET).unwrap_or_default();
        let step = stack.world_from_voxel.0.matrix3.z_axis;
        let slice_spacing_mm = lps_from_ras(step).dot(frames[0].normal()).abs();
        let is_lossy = |frame: &&Frame| {
            frame.file.text(tags::LOSSY_COMPRESSION).is_some_and(|text| text == "01")
        };
        Ok(SourceSeries {
            file,
            stored_character_set: (!REWRITTEN.contains(&&*character_set)).then_some(character_set),
            study: uid(file, tags::STUDY_UID, "an identifier of the study")?,
            series: uid(file, tags::SERIES_UID, "an identifier of the series")?,
            frame_of_reference: uid(file, tags::FRAME_OF_REFERENCE, "").ok(),
            slices: frames.iter().map(slice).collect::<Result<_>>()?,
            directions: frames[0].directions,
            spacing_mm: frames[0].spacing_mm,
            slice_spacing_mm,
            slice_thickness_mm: frames[0].slice_thickness_mm().unwrap_or(slice_spacing_mm),
            lossy: frames.iter().find(is_lossy).map(|frame| &*frame.file),
        })
    }

    /// Returns a text of the series as it is to be written; empty if it is missing.
    pub fn text(&self, tag: Tag) -> Vec<u8> {
        self.text_of(self.file, tag)
    }

    /// Returns a text of one of the series' files; empty if it is missing.
    pub fn text_of(&self, file: &DicomFile, tag: Tag) -> Vec<u8> {
        match (&self.stored_character_set, file.data_set.range(tag)) {
            (None, _) => file.text(tag).unwrap_or_default().into_bytes(),
            (Some(_), Some(range)) => {
                let bytes = file.bytes.get(range).unwrap_or_default();
                let is_padding = |byte: &u8| matches!(byte, 0 | b' ');
                let end = bytes.iter().rposition(|byte| !is_padding(byte)).map_or(0, |n| n + 1);
                bytes[..end].to_vec()
            }
            (Some(_), None) => Vec::new(),
        }
    }

    /// Returns the number of the series.
    pub fn series_number(&self) -> Option<f64> {
        self.file.decimal(tags::SERIES_NUMBER)
    }

    /// Returns the character set to be stated.
    pub fn character_set(&self) -> &str {
        self.stored_character_set.as_deref().unwrap_or("ISO_IR 192")
    }

    /// Returns a text that is not the series' own as it is to be written: on one line, without the
    /// separator of values, in ASCII if the character set is not UTF-8.
    pub fn new_text(&self, text: &str, max_chars: usize) -> String {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('\\', "/");
        let shown = |c: char| match c {
            c if c.is_ascii() || self.stored_character_set.is_none() => c,
            _ => '?',
        };
        line.chars().filter(|c| !c.is_control()).map(shown).take(max_chars).collect()
    }
}

/// Returns the references of a slice.
fn slice(frame: &Frame) -> Result<SourceSlice> {
    let position = frame.position.ok_or_else(|| {
        Error::segmentation("a series that states how it lies in the patient", "one that does not")
    })?;
    Ok(SourceSlice {
        class: uid(&frame.file, tags::SOP_CLASS, "the class of every slice")?,
        instance: uid(&frame.file, tags::SOP_INSTANCE, "an identifier of every slice")?,
        frame_number: (frame.form.num_frames > 1).then_some(frame.index + 1),
        position,
    })
}

/// Returns a unique identifier.
fn uid(file: &DicomFile, tag: Tag, expected: &str) -> Result<String> {
    let is_valid = |uid: &String| {
        uid.len() <= MAX_UID_CHARS && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    match file.text(tag) {
        None => Err(Error::segmentation(expected, "none")),
        Some(uid) if is_valid(&uid) => Ok(uid),
        Some(_) => Err(Error::segmentation(expected, "a text that is not an identifier")),
    }
}
