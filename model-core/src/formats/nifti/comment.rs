//! The comment in a file's header extensions.

use std::io::Read;

use super::compression::decompressed;
use super::write::COMMENT_CODE;

/// The longest comment that is read.
const MAX_BYTES: u64 = 1 << 20;
/// The length of a NIfTI-1 header with the extension flag.
const HEADER_BYTES: usize = 352;

/// Returns the first comment (extension code 6) of a little-endian NIfTI-1 file, compressed or not; `None`
/// if there is none. The rest of the file is not read.
pub fn comment(bytes: &[u8]) -> Option<String> {
    let mut start = Vec::new();
    let limit = HEADER_BYTES as u64 + MAX_BYTES;
    // A file that is damaged behind its extensions still has its comment.
    let _ = decompressed(bytes).take(limit).read_to_end(&mut start);
    let header = start.get(..HEADER_BYTES)?;
    if header[..4] != 348i32.to_le_bytes() || header[344..348] != *b"n+1\0" || header[348] == 0 {
        return None;
    }
    let voxel_offset = f32::from_le_bytes(header[108..112].try_into().ok()?) as usize;
    let mut at = HEADER_BYTES;
    while at < voxel_offset {
        let number = |at: usize| Some(i32::from_le_bytes(*start.get(at..)?.first_chunk()?));
        let (size, code) = (usize::try_from(number(at)?).ok()?, number(at + 4)?);
        let data = start.get(at + 8..at.checked_add(size)?)?;
        if code == COMMENT_CODE {
            let end = data.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            return String::from_utf8(data[..end].to_vec()).ok();
        }
        at += size.max(8);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::{read_labels, write_labels, write_labels_with_texts};
    use super::*;
    use crate::{Affine, Grid, LabelMap};

    fn map() -> LabelMap {
        let grid = Grid::new([3, 2, 2], Affine::IDENTITY);
        LabelMap::new(grid, (0..12).collect()).unwrap()
    }

    fn inflated(bytes: &[u8]) -> Vec<u8> {
        let mut inflated = Vec::new();
        decompressed(bytes).read_to_end(&mut inflated).unwrap();
        inflated
    }

    #[test]
    fn a_comment_comes_back_and_the_labels_stay() {
        for text in ["x", "12345678", "µ, 16 and more characters", &"long ".repeat(1000)] {
            let bytes = write_labels_with_texts(&map(), "described", text);
            assert_eq!(comment(&bytes).as_deref(), Some(text));
            assert_eq!(read_labels(&bytes).unwrap(), map());
            assert_eq!((inflated(&bytes).len() - 12) % 16, 0);
            assert_eq!(comment(&inflated(&bytes)).as_deref(), Some(text));
        }
        assert_eq!(comment(&write_labels(&map())), None);
    }

    #[test]
    fn damaged_extensions_have_no_comment() {
        let bytes = inflated(&write_labels_with_texts(&map(), "", "a text of some length"));
        for size in [-16i32, 0, 7, 8, i32::MAX] {
            let mut damaged = bytes.clone();
            damaged[352..356].copy_from_slice(&size.to_le_bytes());
            // The size is refused, or has no room for the text.
            assert!(comment(&damaged).is_none_or(|text| text.is_empty()), "{size}");
        }
        for length in [0, 4, 347, 352, 356, 360, 365] {
            assert_eq!(comment(&bytes[..length]), None, "{length} bytes");
        }
        let mut other = bytes.clone();
        other[356] = 4;
        assert_eq!(comment(&other), None);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&bytes).unwrap();
        let gz = encoder.finish().unwrap();
        assert_eq!(comment(&gz[..gz.len() - 12]).as_deref(), Some("a text of some length"));
    }
}
