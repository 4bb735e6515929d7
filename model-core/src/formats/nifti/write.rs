//! Last step of viewing: writes volumes and label maps as `.nii.gz` on their own grid.

use std::io::Write;

use flate2::{Compression, GzBuilder};

use crate::{Error, Grid, LabelMap, NiftiTransforms, Result, Volume};

/// The offset of the first voxel: the header and four bytes that state that no extension follows.
const VOXEL_OFFSET: usize = 352;

/// The code of an extension that is a text (nifti1.h: `NIFTI_ECODE_COMMENT`).
pub(super) const COMMENT_CODE: i32 = 6;

/// Writes a label map as `.nii.gz`: uint8, slope 1, with the grid's dimensions, qform, sform and
/// their codes. Every field that can name a person or a time is empty.
///
/// # Panics
/// If an axis is longer than NIfTI-1 can state (32767).
pub fn write_labels(map: &LabelMap) -> Vec<u8> {
    write_labels_with_texts(map, "", "")
}

/// Writes a label map as [`write_labels`] does, with a description in the header's field `descrip`, which
/// takes the first 79 bytes, and a comment of any length in a header extension (NIfTI-1, code 6), which
/// [`comment`](super::comment) reads. An empty comment is not written.
///
/// # Panics
/// As [`write_labels`], or if the comment is longer than 2 GiB.
pub fn write_labels_with_texts(map: &LabelMap, description: &str, comment: &str) -> Vec<u8> {
    let mut bytes = header(map.grid(), 1, VoxelType { code: 2, bits: 8 });
    add_comment(&mut bytes, comment);
    let description = &description.as_bytes()[..description.floor_char_boundary(79)];
    bytes[148..148 + description.len()].copy_from_slice(description);
    bytes.extend_from_slice(map.labels());
    compress(&bytes)
}

/// Writes volumes of one grid as the channels of one `.nii.gz`: float32, 3-D for one volume, 4-D
/// for several.
///
/// # Errors
/// [`Error::Geometry`] if the grids differ, or if there is no volume.
///
/// # Panics
/// As [`write_labels`].
pub fn write_volumes(volumes: &[Volume]) -> Result<Vec<u8>> {
    let Some(first) = volumes.first() else {
        return Err(Error::geometry("at least one volume", "none"));
    };
    let mut bytes = header(first.grid(), volumes.len(), VoxelType { code: 16, bits: 32 });
    bytes.reserve_exact(volumes.len() * first.values().len() * 4);
    for volume in volumes {
        first.grid().check_same(volume.grid())?;
        bytes.extend(volume.values().iter().flat_map(|voxel| voxel.to_le_bytes()));
    }
    Ok(compress(&bytes))
}

/// A voxel type: NIfTI's code and its size.
struct VoxelType {
    code: i16,
    bits: i16,
}

/// Returns a little-endian NIfTI-1 header, followed by the empty extension flag.
fn header(grid: &Grid, num_channels: usize, voxel_type: VoxelType) -> Vec<u8> {
    let mut bytes = vec![0u8; VOXEL_OFFSET];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    let extent = |n: usize| i16::try_from(n).expect("axes of at most 32767 voxels");
    let [i, j, k] = grid.dims.map(extent);
    let num_axes = if num_channels == 1 { 3 } else { 4 };
    let dim = [num_axes, i, j, k, extent(num_channels), 1, 1, 1];
    let NiftiTransforms {
        qform_code,
        quaternion,
        offset_mm,
        qfac,
        spacing_mm,
        sform_code,
        rows,
        units,
    } = grid.transforms;
    let [si, sj, sk] = spacing_mm;
    let floats: [(usize, &[f32]); 7] = [
        (76, &[qfac, si, sj, sk, 1.0, 1.0, 1.0, 1.0]),
        (108, &[VOXEL_OFFSET as f32, 1.0, 0.0]), // vox_offset, scl_slope, scl_inter
        (256, &quaternion),
        (268, &offset_mm),
        (280, &rows[0]),
        (296, &rows[1]),
        (312, &rows[2]),
    ];
    put(0, &348i32.to_le_bytes());
    for (n, extent) in dim.iter().enumerate() {
        put(40 + 2 * n, &extent.to_le_bytes());
    }
    put(70, &voxel_type.code.to_le_bytes());
    put(72, &voxel_type.bits.to_le_bytes());
    for (at, values) in floats {
        for (n, value) in values.iter().enumerate() {
            put(at + 4 * n, &value.to_le_bytes());
        }
    }
    put(123, &[units]);
    put(252, &qform_code.to_le_bytes());
    put(254, &sform_code.to_le_bytes());
    put(344, b"n+1\0");
    bytes
}

/// Adds a comment behind a header.
fn add_comment(bytes: &mut Vec<u8>, comment: &str) {
    if comment.is_empty() {
        return;
    }
    // An extension is a multiple of 16 bytes long, its size and code included.
    let size = (comment.len() + 8).next_multiple_of(16);
    bytes[VOXEL_OFFSET - 4] = 1;
    bytes.extend(i32::try_from(size).expect("a comment below 2 GiB").to_le_bytes());
    bytes.extend(COMMENT_CODE.to_le_bytes());
    bytes.extend_from_slice(comment.as_bytes());
    bytes.resize(VOXEL_OFFSET + size, 0);
    bytes[108..112].copy_from_slice(&((VOXEL_OFFSET + size) as f32).to_le_bytes());
}

/// Compresses with gzip, without a file name and a time.
fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::Affine;

    fn written_header(bytes: &[u8]) -> Vec<u8> {
        let mut header = vec![0; VOXEL_OFFSET];
        GzDecoder::new(bytes).read_exact(&mut header).unwrap();
        header
    }

    #[test]
    fn a_description_stays_within_its_field() {
        let grid = Grid::new([1, 1, 1], Affine::IDENTITY);
        let map = LabelMap::background(grid);
        let plain = written_header(&write_labels(&map));
        for text in ["made in tiles".to_string(), "é".repeat(60)] {
            let described = written_header(&write_labels_with_texts(&map, &text, ""));
            assert_eq!(described[..148], plain[..148]);
            assert_eq!(described[227..], plain[227..], "the field's last byte ends the text");
            let length = text.floor_char_boundary(79);
            assert_eq!(described[148..148 + length], text.as_bytes()[..length]);
        }
    }
}
