//! RLE (PS3.5, annex G): one PackBits segment for each byte of a pixel, the highest byte first.

use crate::formats::dicom::file::FORMAT;
use crate::{Error, Result};

/// The header: the number of segments and 15 offsets.
const HEADER_BYTES: usize = 64;

/// Returns the cells of a frame, little-endian.
pub fn decode(bytes: &[u8], num_pixels: usize, size: usize) -> Result<Vec<u8>> {
    let error = |found: String| Error::format(FORMAT, format!("{size} segments of RLE"), found);
    let header =
        bytes.get(..HEADER_BYTES).ok_or_else(|| error(format!("{} bytes", bytes.len())))?;
    let numbers: Vec<usize> = header
        .as_chunks::<4>()
        .0
        .iter()
        .map(|number| u32::from_le_bytes(*number) as usize)
        .collect();
    if numbers[0] != size {
        return Err(error(numbers[0].to_string()));
    }
    let mut out = vec![0; num_pixels * size];
    for segment in 0..size {
        let start = numbers[1 + segment];
        let end = if segment + 1 < size { numbers[2 + segment] } else { bytes.len() };
        let packed = bytes.get(start..end).ok_or_else(|| error("damaged offsets".to_string()))?;
        let mut cells = out.chunks_exact_mut(size).map(|cell| &mut cell[size - 1 - segment]);
        let num_written = unpack(packed, &mut cells);
        if num_written != num_pixels {
            return Err(error(format!("{num_written} of {num_pixels} pixels")));
        }
    }
    Ok(out)
}

/// Writes unpacked bytes and returns their number, at most as many as there are places.
fn unpack<'a>(packed: &[u8], out: &mut impl Iterator<Item = &'a mut u8>) -> usize {
    let (mut at, mut num_written) = (0, 0);
    while let Some(&control) = packed.get(at) {
        let (count, step) = match control {
            0..=127 => (usize::from(control) + 1, 1),
            128 => (0, 0),
            129.. => (257 - usize::from(control), 0),
        };
        for n in 0..count {
            let Some(&byte) = packed.get(at + 1 + n * step) else { return num_written };
            let Some(place) = out.next() else { return num_written };
            *place = byte;
            num_written += 1;
        }
        at += match control {
            0..=127 => 1 + count,
            128 => 1,
            129.. => 2,
        };
    }
    num_written
}
