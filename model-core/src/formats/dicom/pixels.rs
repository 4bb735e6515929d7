//! Decodes the pixels of a frame to intensities.

mod bits;
mod fragments;
mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod rle;

use super::file::{DicomFile, FORMAT};
use super::frame::Frame;
use super::image::PixelType;
use super::tags;
use super::transfer_syntax::Codec;
use crate::{Error, Result};

/// The largest compression that is believed: pixels for each byte, beside a first megapixel.
const MAX_PIXELS_PER_BYTE: usize = 1024;

/// The pixels of a frame as they were stored.
pub enum Stored {
    /// The cells of an uncompressed file: each of the type's size, in the file's byte order.
    Cells { bytes: Vec<u8>, big_endian: bool },
    /// The values that a codec decoded.
    Values(Vec<i32>),
}

/// Decodes a frame and appends its intensities, row by row, to `out`.
///
/// # Errors
/// [`Error::Format`] with the file's path.
pub fn decode(frame: &Frame, out: &mut Vec<f32>) -> Result<()> {
    decode_frame(frame, out).map_err(|error| error.in_file(&frame.file.path))
}

fn decode_frame(frame: &Frame, out: &mut Vec<f32>) -> Result<()> {
    let num_pixels = frame.form.rows * frame.form.columns;
    let stored = match frame.file.is_compressed() {
        true => compressed(frame)?,
        false => uncompressed(frame)?,
    };
    out.try_reserve(num_pixels).map_err(|_| Error::TooLarge {
        what: "the scan, for this device's memory,",
        limit_bytes: (out.capacity() * 4) as u64,
        found_bytes: ((out.len() + num_pixels) * 4) as u64,
    })?;
    let [slope, intercept] = frame.rescale;
    let mut push = |value: f64| {
        let value = (value * slope + intercept) as f32;
        out.push(if value.is_finite() { value } else { 0.0 });
    };
    match (stored, frame.form.pixel_type) {
        (Stored::Values(values), PixelType::Integer { stored, signed, .. }) => {
            let integer = Integer { stored, shift: 0, signed, inverted: frame.form.inverted };
            values.into_iter().for_each(|value| push(integer.value(value as u32)));
        }
        (
            Stored::Cells { bytes, big_endian },
            PixelType::Integer { allocated, stored, shift, signed },
        ) => {
            let integer = Integer { stored, shift, signed, inverted: frame.form.inverted };
            for cell in bytes.chunks_exact(allocated as usize / 8) {
                let fold = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
                let cell = match big_endian {
                    true => cell.iter().fold(0, fold),
                    false => cell.iter().rev().fold(0, fold),
                };
                push(integer.value(cell));
            }
        }
        (Stored::Cells { bytes, big_endian }, PixelType::F32) => {
            for cell in bytes.as_chunks::<4>().0 {
                let bits =
                    if big_endian { f32::from_be_bytes(*cell) } else { f32::from_le_bytes(*cell) };
                push(bits.into());
            }
        }
        (Stored::Cells { bytes, big_endian }, PixelType::F64) => {
            for cell in bytes.as_chunks::<8>().0 {
                push(if big_endian {
                    f64::from_be_bytes(*cell)
                } else {
                    f64::from_le_bytes(*cell)
                });
            }
        }
        (Stored::Values(_), _) => {
            return Err(Error::format(FORMAT, "floats without compression", "compressed floats"));
        }
    }
    Ok(())
}

/// Reads the value of an integer cell.
struct Integer {
    stored: u32,
    shift: u32,
    signed: bool,
    inverted: bool,
}

impl Integer {
    fn value(&self, cell: u32) -> f64 {
        let unused = 32 - self.stored;
        let bits = (cell >> self.shift) << unused;
        let value = match self.signed {
            true => i64::from(bits as i32 >> unused),
            false => i64::from(bits >> unused),
        };
        // MONOCHROME1: the lowest value is the brightest.
        let highest = if self.signed { -1 } else { (1i64 << self.stored) - 1 };
        (if self.inverted { highest - value } else { value }) as f64
    }
}

/// Returns the cells of an uncompressed frame.
fn uncompressed(frame: &Frame) -> Result<Stored> {
    let (file, form) = (&frame.file, &frame.form);
    let tag = match form.pixel_type {
        PixelType::F32 => tags::FLOAT_PIXELS,
        PixelType::F64 => tags::DOUBLE_PIXELS,
        PixelType::Integer { .. } => tags::PIXELS,
    };
    let pixels = file.data_set.range(tag).unwrap_or(0..0);
    let length = form.rows * form.columns * form.pixel_type.size();
    let start = pixels.start + frame.index * length;
    let cells = file.bytes.get(start..start + length).filter(|_| start + length <= pixels.end);
    let found = || format!("{} bytes of pixels", pixels.len());
    let cells = cells.ok_or_else(|| {
        Error::format(FORMAT, format!("{} bytes", form.num_frames * length), found())
    })?;
    Ok(Stored::Cells { bytes: cells.to_vec(), big_endian: file.syntax.big_endian })
}

/// Decodes a compressed frame.
fn compressed(frame: &Frame) -> Result<Stored> {
    let (file, form) = (&frame.file, &frame.form);
    check_codec(file)?;
    let bytes = fragments::frame_bytes(file, form.num_frames, frame.index)?;
    let num_pixels = form.rows * form.columns;
    if num_pixels > (1 << 20) + bytes.len().saturating_mul(MAX_PIXELS_PER_BYTE) {
        let found = format!("{num_pixels} pixels in {} bytes", bytes.len());
        return Err(Error::format(FORMAT, "a believable compression", found));
    }
    match file.syntax.codec {
        Codec::Rle => {
            let bytes = rle::decode(&bytes, num_pixels, form.pixel_type.size())?;
            Ok(Stored::Cells { bytes, big_endian: false })
        }
        Codec::Jpeg => jpeg::decode(&bytes, form.columns, form.rows).map(Stored::Values),
        Codec::JpegLs => jpeg_ls::decode(&bytes, form.columns, form.rows).map(Stored::Values),
        #[cfg(feature = "htj2k")]
        Codec::HighThroughput => {
            let values = jpeg2000::decode_high_throughput(&bytes, form.columns, form.rows);
            values.map(Stored::Values)
        }
        Codec::Jpeg2000 => jpeg2000::decode(&bytes, form.columns, form.rows).map(Stored::Values),
        _ => Err(unsupported(file)),
    }
}

/// Errors if a file's compression cannot be decoded.
///
/// # Errors
/// [`Error::Format`] with the transfer syntax's name.
pub fn check_codec(file: &DicomFile) -> Result<()> {
    match file.syntax.codec {
        Codec::Unsupported => Err(unsupported(file)),
        Codec::HighThroughput if cfg!(not(feature = "htj2k")) => Err(unsupported(file)),
        _ => Ok(()),
    }
}

/// Returns the error of a compression that cannot be decoded.
fn unsupported(file: &DicomFile) -> Error {
    let expected = "pixels without compression, or in RLE, JPEG, JPEG-LS or JPEG 2000";
    Error::format(FORMAT, expected, format!("the transfer syntax {}", file.syntax.name))
}
