//! Voxels of every stored type as numbers, decoded as they arrive.

use std::io::Read;

use super::header::{Datatype, Header};
use crate::{Error, Result};

/// Bytes decoded at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Reads one channel from the source into `out`, each voxel as `make` turns it. Memory grows with
/// what was read, at most twofold, and never beyond the channel's size.
pub(super) fn decode<T>(
    header: &Header,
    source: &mut dyn Read,
    out: &mut Vec<T>,
    mut make: impl FnMut(f64) -> Result<T>,
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
            _ => super::reader::unreadable(e),
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
            make(value).map(|made| out.push(made))
        };
        macro_rules! each {
            ($type:ty) => {
                bytes.chunks_exact(size).try_for_each(|voxel| {
                    push(<$type>::from_le_bytes(voxel.try_into().expect("one voxel")) as f64)
                })
            };
        }
        match header.datatype {
            Datatype::U8 => each!(u8),
            Datatype::I8 => each!(i8),
            Datatype::I16 => each!(i16),
            Datatype::U16 => each!(u16),
            Datatype::I32 => each!(i32),
            Datatype::U32 => each!(u32),
            Datatype::I64 => each!(i64),
            Datatype::U64 => each!(u64),
            Datatype::F32 => each!(f32),
            Datatype::F64 => each!(f64),
        }?;
    }
    Ok(())
}

/// Makes room for `count` more, at most doubling, never beyond `limit` in all.
fn grow<T>(out: &mut Vec<T>, count: usize, limit: usize) -> Result<()> {
    let wanted = out.len() + count;
    if wanted > out.capacity() {
        let capacity = wanted.max(2 * out.len()).min(limit);
        out.try_reserve_exact(capacity - out.len()).map_err(|_| Error::TooLarge {
            what: "the scan, for this device's memory,",
            limit_bytes: (out.capacity() * size_of::<T>()) as u64,
            found_bytes: (capacity * size_of::<T>()) as u64,
        })?;
    }
    Ok(())
}
