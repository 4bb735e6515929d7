//! The form of a file's pixels (PS3.3, section C.7.6.3), checked before they are decoded.

use super::data_set::Value;
use super::file::{DicomFile, FORMAT};
use super::tags;
use super::transfer_syntax::Codec;
use crate::{Error, Result};

/// The type of stored pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PixelType {
    Integer {
        /// 8, 16 or 32.
        allocated: u32,
        /// The bits that hold the value, at most `allocated`.
        stored: u32,
        /// The bits below the value.
        shift: u32,
        signed: bool,
    },
    F32,
    F64,
}

impl PixelType {
    /// Returns the bytes of one pixel without compression.
    pub fn size(self) -> usize {
        match self {
            PixelType::Integer { allocated, .. } => allocated as usize / 8,
            PixelType::F32 => 4,
            PixelType::F64 => 8,
        }
    }
}

/// The form of the pixels of all frames of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageForm {
    pub columns: usize,
    pub rows: usize,
    pub num_frames: usize,
    pub pixel_type: PixelType,
    /// Whether low values are bright (MONOCHROME1).
    pub inverted: bool,
}

/// The content of a DICOM file.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Image(ImageForm),
    /// Not an image of a scan; the noun names the content.
    Other(&'static str),
}

/// The classes of objects that are not scans, by the UID's number after
/// `1.2.840.10008.5.1.4.1.1.` (PS3.4, annex B.5).
const OTHER_CLASSES: [(&str, &str); 11] = [
    ("88.59", "selections of key images"),
    ("88", "structured reports"),
    ("11", "presentation states"),
    ("104", "embedded documents"),
    ("66.4", "segmentations"),
    ("66.7", "segmentations"),
    ("66", "registrations or other derived objects"),
    ("481", "objects of radiotherapy"),
    ("4.2", "spectra"),
    ("9", "waveforms"),
    ("7", "screenshots"),
];

/// Returns the content of a file.
///
/// # Errors
/// [`Error::Format`] if the file holds an image of impossible form.
pub fn content(file: &DicomFile) -> Result<Content> {
    let has = |tag| file.data_set.value(tag).is_some();
    let class = file.text(tags::SOP_CLASS).unwrap_or_default();
    if let Some(number) = class.strip_prefix("1.2.840.10008.5.1.4.1.1.") {
        let is_of = |known: &str| {
            let rest = number.strip_prefix(known);
            let is_inside = |rest: &str| rest.is_empty() || rest.starts_with('.');
            // A secondary capture with a position is a scan that was processed.
            rest.is_some_and(is_inside) && !(known == "7" && has(tags::IMAGE_POSITION))
        };
        if let Some((_, name)) = OTHER_CLASSES.iter().find(|(known, _)| is_of(known)) {
            return Ok(Content::Other(name));
        }
    }
    if !has(tags::ROWS)
        || !(has(tags::PIXELS) || has(tags::FLOAT_PIXELS) || has(tags::DOUBLE_PIXELS))
    {
        // The pixels of a file that is cut off may lie behind its end.
        return match &file.damage {
            Some(damage) => Err(Error::format(FORMAT, "pixels", damage)),
            None => Ok(Content::Other("objects without an image")),
        };
    }
    if file.unsigned(tags::SAMPLES_PER_PIXEL).unwrap_or(1) != 1 {
        return Ok(Content::Other("color images"));
    }
    let inverted = match file.text(tags::PHOTOMETRIC_INTERPRETATION).as_deref() {
        Some("MONOCHROME1") => true,
        Some("MONOCHROME2") | None => false,
        Some(_) => return Ok(Content::Other("color images")),
    };
    form(file, inverted).map(Content::Image)
}

fn form(file: &DicomFile, inverted: bool) -> Result<ImageForm> {
    let extent = |tag| file.unsigned(tag).unwrap_or(0) as usize;
    let (columns, rows) = (extent(tags::COLUMNS), extent(tags::ROWS));
    if columns == 0 || rows == 0 {
        return Err(Error::format(FORMAT, "rows and columns", format!("{rows} x {columns}")));
    }
    let num_frames = match file.decimal(tags::NUMBER_OF_FRAMES) {
        None => 1,
        Some(number) if (1.0..=65536.0).contains(&number) => number as usize,
        Some(number) => return Err(Error::format(FORMAT, "1 to 65536 frames", number)),
    };
    let pixel_type =
        match (file.data_set.value(tags::FLOAT_PIXELS), file.data_set.value(tags::PIXELS)) {
            (Some(_), _) => PixelType::F32,
            (None, Some(_)) => integer_type(file)?,
            (None, None) => PixelType::F64,
        };
    let form = ImageForm { columns, rows, num_frames, pixel_type, inverted };
    // The caller states the damage of a file that is cut off.
    if file.damage.is_none() {
        check_length(file, &form)?;
    }
    Ok(form)
}

/// Errors if the file cannot hold its frames.
fn check_length(file: &DicomFile, form: &ImageForm) -> Result<()> {
    let tag = match form.pixel_type {
        PixelType::F32 => tags::FLOAT_PIXELS,
        PixelType::F64 => tags::DOUBLE_PIXELS,
        PixelType::Integer { .. } => tags::PIXELS,
    };
    let length = form.rows as u64 * form.columns as u64 * form.pixel_type.size() as u64;
    let (unit, expected, found) = match file.data_set.value(tag) {
        // Its name is told when it is decoded.
        _ if file.syntax.codec == Codec::Unsupported => return Ok(()),
        // The first fragment is the table of offsets.
        Some(Value::Fragments(all)) => ("fragments", 1, all.len().saturating_sub(1)),
        Some(Value::Bytes(range)) if !file.is_compressed() => ("bytes", length, range.len()),
        _ => ("fragments", 1, 0),
    };
    let num_frames = form.num_frames as u64;
    match expected * num_frames > found as u64 {
        true => {
            let expected = format!("{} {unit} for {num_frames} frames", expected * num_frames);
            Err(Error::format(FORMAT, expected, found))
        }
        false => Ok(()),
    }
}

fn integer_type(file: &DicomFile) -> Result<PixelType> {
    let allocated = file.unsigned(tags::BITS_ALLOCATED).unwrap_or(0);
    let stored = file.unsigned(tags::BITS_STORED).unwrap_or(allocated);
    let high = file.unsigned(tags::HIGH_BIT).unwrap_or(stored.saturating_sub(1));
    if !matches!(allocated, 8 | 16 | 32) {
        return Err(Error::format(FORMAT, "pixels of 8, 16 or 32 bits", allocated));
    }
    if !(1..=allocated).contains(&stored) || high >= allocated || high + 1 < stored {
        let found = format!("{stored} bits up to bit {high} of {allocated}");
        return Err(Error::format(FORMAT, "pixels within their bits", found));
    }
    let signed = file.unsigned(tags::PIXEL_REPRESENTATION) == Some(1);
    Ok(PixelType::Integer { allocated, stored, shift: high + 1 - stored, signed })
}
