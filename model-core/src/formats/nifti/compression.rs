//! Gzip streams, as compressed scans are stored.

use std::io::Read;

use flate2::bufread::GzDecoder;

use crate::Error;

/// Returns whether the bytes begin with gzip's signature.
pub(in crate::formats) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Returns a reader of the bytes, which decompresses them if they are a gzip stream.
pub(in crate::formats) fn decompressed(bytes: &[u8]) -> Box<dyn Read + '_> {
    match is_gzip(bytes) {
        true => Box::new(GzipMembers { current: GzDecoder::new(bytes) }),
        false => Box::new(bytes),
    }
}

/// Returns the error of a stream that cannot be read on.
pub(super) fn read_error(error: std::io::Error) -> Error {
    Error::nifti("undamaged compressed data", error)
}

/// Reads the members of a gzip stream one after the other. It ends at bytes that do not begin a
/// member, such as zeros that fill a block, or text. zlib ignores such bytes too.
struct GzipMembers<'a> {
    current: GzDecoder<&'a [u8]>,
}

impl Read for GzipMembers<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let count = self.current.read(out)?;
            let rest = *self.current.get_ref();
            if count > 0 || out.is_empty() || !is_gzip(rest) {
                return Ok(count);
            }
            self.current = GzDecoder::new(rest);
        }
    }
}
