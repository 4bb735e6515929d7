//! Finds the bytes of a frame among the fragments of compressed pixels (PS3.5, annex A.4).

use std::borrow::Cow;
use std::ops::Range;

use crate::formats::dicom::data_set::Value;
use crate::formats::dicom::file::{DicomFile, FORMAT};
use crate::formats::dicom::tags;
use crate::{Error, Result};

/// Returns the compressed bytes of a frame.
pub fn frame_bytes(file: &DicomFile, num_frames: usize, index: usize) -> Result<Cow<'_, [u8]>> {
    let Some(Value::Fragments(all)) = file.data_set.value(tags::PIXELS) else {
        return Err(Error::format(FORMAT, "compressed pixels in fragments", "none"));
    };
    let (table, fragments) = all.split_first().map_or((0..0, &[][..]), |(t, f)| (t.clone(), f));
    let ranges = if num_frames == 1 {
        fragments
    } else if fragments.len() == num_frames {
        &fragments[index..=index]
    } else {
        by_offsets(&offsets(file, table), fragments, index).unwrap_or_default()
    };
    match ranges {
        [] => {
            let found = format!("{} fragments", fragments.len());
            Err(Error::format(FORMAT, format!("the pixels of {num_frames} frames"), found))
        }
        [one] => Ok(Cow::Borrowed(&file.bytes[one.clone()])),
        several => {
            let parts = several.iter().map(|range| &file.bytes[range.clone()]);
            Ok(Cow::Owned(parts.collect::<Vec<_>>().concat()))
        }
    }
}

/// Returns the offsets of the frames from the first fragment's header.
fn offsets(file: &DicomFile, table: Range<usize>) -> Vec<u64> {
    match file.data_set.range(tags::EXTENDED_OFFSETS) {
        Some(range) => {
            let numbers = file.bytes[range].as_chunks::<8>().0;
            numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
        }
        None => {
            let numbers = file.bytes[table].as_chunks::<4>().0;
            numbers.iter().map(|bytes| u32::from_le_bytes(*bytes).into()).collect()
        }
    }
}

/// Returns the fragments from one frame's offset to the next one's.
fn by_offsets<'a>(
    offsets: &[u64],
    fragments: &'a [Range<usize>],
    index: usize,
) -> Option<&'a [Range<usize>]> {
    // Eight bytes, the header of an item, precede a fragment.
    let origin = fragments.first()?.start as u64;
    let place = |offset: u64| fragments.iter().position(|f| f.start as u64 - origin == offset);
    let start = place(*offsets.get(index)?)?;
    let end = match offsets.get(index + 1) {
        Some(&offset) => place(offset)?,
        None => fragments.len(),
    };
    fragments.get(start..end)
}
