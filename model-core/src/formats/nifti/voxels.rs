//! Decodes voxels of every stored type as they arrive.

use std::io::Read;

use super::compression::read_error;
use super::header::Header;
use crate::formats::number_type::NumberType;
use crate::{Error, Result};

/// The bytes that are decoded at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Reads one channel into `out`, converting each voxel by `convert`.
///
/// Memory grows with the bytes read, to at most twice their size, and never beyond the channel's
/// size.
pub(super) fn decode<T>(
    header: &Header,
    source: &mut dyn Read,
    out: &mut Vec<T>,
    mut convert: impl FnMut(f64) -> Result<T>,
) -> Result<()> {
    let num_voxels = header.grid.num_voxels();
    let size = header.datatype.size();
    let mut chunk = vec![0u8; CHUNK_BYTES.min(num_voxels * size)];
    while out.len() < num_voxels {
        let count = (num_voxels - out.len()).min(chunk.len() / size);
        let bytes = &mut chunk[..count * size];
        source.read_exact(bytes).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::nifti(format!("{num_voxels} voxels a channel"), "the file's end before")
            }
            _ => read_error(e),
        })?;
        grow(out, count, num_voxels)?;
        if header.big_endian {
            bytes.chunks_exact_mut(size).for_each(|voxel| voxel.reverse());
        }
        let mut push = |value: f64| {
            let value = match header.scale {
                Some((slope, intercept)) => value * slope + intercept,
                None => value,
            };
            convert(value).map(|voxel| out.push(voxel))
        };
        macro_rules! decode_as {
            ($type:ty) => {
                bytes.chunks_exact(size).try_for_each(|voxel| {
                    push(<$type>::from_le_bytes(voxel.try_into().expect("one voxel")) as f64)
                })
            };
        }
        match header.datatype {
            NumberType::U8 => decode_as!(u8),
            NumberType::I8 => decode_as!(i8),
            NumberType::I16 => decode_as!(i16),
            NumberType::U16 => decode_as!(u16),
            NumberType::I32 => decode_as!(i32),
            NumberType::U32 => decode_as!(u32),
            NumberType::I64 => decode_as!(i64),
            NumberType::U64 => decode_as!(u64),
            NumberType::F32 => decode_as!(f32),
            NumberType::F64 => decode_as!(f64),
        }?;
    }
    Ok(())
}

/// Reserves memory for `count` more values: at most doubles the capacity, up to `limit` in all.
fn grow<T>(out: &mut Vec<T>, count: usize, limit: usize) -> Result<()> {
    let needed = out.len() + count;
    if needed > out.capacity() {
        let capacity = needed.max(2 * out.len()).min(limit);
        out.try_reserve_exact(capacity - out.len()).map_err(|_| Error::TooLarge {
            what: "the scan, for this device's memory,",
            limit_bytes: (out.capacity() * size_of::<T>()) as u64,
            found_bytes: (capacity * size_of::<T>()) as u64,
        })?;
    }
    Ok(())
}
