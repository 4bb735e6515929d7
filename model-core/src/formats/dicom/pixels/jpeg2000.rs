//! JPEG 2000 (ITU-T T.800) and High-Throughput JPEG 2000 (T.814), of one component.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use crate::formats::dicom::file::FORMAT;
use crate::{Error, Result};

/// The start of a codestream, and the place of the first component's sign and precision in it
/// (T.800, A.5.1).
const CODESTREAM: &[u8] = b"\xff\x4f\xff\x51";
const PRECISION_OFFSET: usize = 42;

fn error(found: impl ToString) -> Error {
    Error::format(FORMAT, "pixels in JPEG 2000 of one component", found)
}

/// Decodes a picture of `width` x `height` pixels, row by row.
pub fn decode(bytes: &[u8], width: usize, height: usize) -> Result<Vec<i32>> {
    let settings = DecodeSettings { resolve_palette_indices: false, ..DecodeSettings::default() };
    let image = Image::new(bytes, &settings).map_err(error)?;
    check_size([image.width(), image.height()], [width, height])?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(error)?;
    let [component] = decoded.components() else { return Err(error("several components")) };
    let bit_depth = component.bit_depth().clamp(1, 24);
    let highest = ((1u32 << bit_depth) - 1) as f32;
    let level = level(bytes, bit_depth);
    let samples = component.samples();
    if samples.len() != width * height {
        return Err(error(format!("{} pixels", samples.len())));
    }
    Ok(samples.iter().map(|value| value.round().clamp(0.0, highest) as i32 - level).collect())
}

/// Decodes a picture of High-Throughput JPEG 2000, as [`decode`] does.
///
/// Where the compression loses, a coefficient gets the value of its quantization interval that is
/// nearest to 0, as the standard permits. Other decoders take the middle.
#[cfg(feature = "htj2k")]
pub fn decode_high_throughput(bytes: &[u8], width: usize, height: usize) -> Result<Vec<i32>> {
    use dicom_toolkit_jpeg2000::{DecodeSettings, Image};

    let settings = DecodeSettings { resolve_palette_indices: false, ..DecodeSettings::default() };
    let image = Image::new(bytes, &settings).map_err(error)?;
    check_size([image.width(), image.height()], [width, height])?;
    let bitmap = image.decode_native().map_err(error)?;
    let level = level(bytes, bitmap.bit_depth);
    let size = usize::from(bitmap.bytes_per_sample);
    if bitmap.num_components != 1 || bitmap.data.len() != width * height * size {
        return Err(error(format!("{} components", bitmap.num_components)));
    }
    let value =
        |cell: &[u8]| cell.iter().rev().fold(0, |value, byte| value << 8 | i32::from(*byte));
    Ok(bitmap.data.chunks_exact(size).map(|cell| value(cell) - level).collect())
}

fn check_size(found: [u32; 2], expected: [usize; 2]) -> Result<()> {
    match found.map(|extent| extent as usize) == expected {
        true => Ok(()),
        false => Err(error(format!("{} x {} pixels", found[0], found[1]))),
    }
}

/// Returns the number that the decoders add to signed pixels.
fn level(bytes: &[u8], bit_depth: u8) -> i32 {
    // A file of boxes (JP2) may stand around the codestream.
    let start = bytes.windows(CODESTREAM.len()).position(|bytes| bytes == CODESTREAM);
    let precision = start.and_then(|start| bytes.get(start + PRECISION_OFFSET));
    let is_signed = precision.is_some_and(|precision| precision & 0x80 != 0);
    if is_signed { 1 << (bit_depth.clamp(1, 24) - 1) } else { 0 }
}
