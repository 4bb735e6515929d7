//! Reads ZIP archives (PKWARE's APPNOTE 6.3), and the beginnings of gzip streams.

use std::io::Read;

use flate2::read::{DeflateDecoder, GzDecoder};

use super::source_file::SourceFile;
use crate::{Error, Result};

const FORMAT: &str = "ZIP archive";

/// The largest size of all files in an archive.
const MAX_UNPACKED_BYTES: u64 = 4 << 30;

/// The most files in an archive.
const MAX_FILES: usize = 100_000;

/// The bytes of a gzip stream that show its kind: a header of NIfTI-2 or a tar archive's.
const START_BYTES: u64 = 4096;

/// The end record without its comment, and the longest comment.
const END_BYTES: usize = 22;
const MAX_COMMENT_BYTES: usize = 65535;

/// Sizes of this value stand in the extra field of ZIP64.
const IN_EXTRA: u32 = u32::MAX;

/// Returns whether the bytes are a ZIP archive.
pub fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

/// Returns the first bytes, decompressed if they are a gzip stream.
pub fn unpacked_start(bytes: &[u8]) -> Vec<u8> {
    let mut start = Vec::new();
    match bytes.starts_with(&[0x1f, 0x8b]) {
        // A damaged stream is told by the reader of its format.
        true => drop(GzDecoder::new(bytes).take(START_BYTES).read_to_end(&mut start)),
        false => start.extend(&bytes[..bytes.len().min(START_BYTES as usize)]),
    }
    start
}

/// The files of an archive, and those that cannot be read.
#[derive(Debug, Default)]
pub struct Opened {
    pub files: Vec<SourceFile>,
    pub refused: Vec<(String, Error)>,
}

/// One file of the archive's directory.
struct Entry {
    path: String,
    is_encrypted: bool,
    method: u16,
    crc: u32,
    packed_bytes: u64,
    bytes: u64,
    offset: u64,
}

/// Unpacks an archive. A file that cannot be unpacked is refused, and the others are read.
///
/// # Errors
/// [`Error::Format`] if the directory is damaged, [`Error::TooLarge`] before a file is unpacked.
pub fn open(archive_path: &str, bytes: &[u8]) -> Result<Opened> {
    let entries = directory(bytes)?;
    let found_bytes = entries.iter().map(|entry| entry.bytes).fold(0, u64::saturating_add);
    if found_bytes > MAX_UNPACKED_BYTES {
        let limit_bytes = MAX_UNPACKED_BYTES;
        return Err(Error::TooLarge { what: "the unpacked archive", limit_bytes, found_bytes });
    }
    let mut opened = Opened::default();
    for entry in entries {
        let path = format!("{archive_path}/{}", entry.path);
        match unpack(bytes, &entry) {
            Ok(bytes) => opened.files.push(SourceFile { path, bytes }),
            Err(error) => opened.refused.push((path.clone(), error.in_file(path))),
        }
    }
    Ok(opened)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Returns the files of the directory at the archive's end.
fn directory(bytes: &[u8]) -> Result<Vec<Entry>> {
    let damaged =
        || Error::format(FORMAT, "its directory", "none, as in a download that was not finished");
    let (mut at, count) = directory_start(bytes).ok_or_else(damaged)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let (entry, next) = entry(bytes, at).ok_or_else(damaged)?;
        at = next;
        // A folder has no bytes.
        if !entry.path.ends_with('/') {
            entries.push(entry);
        }
        if entries.len() > MAX_FILES {
            return Err(Error::format(FORMAT, format!("at most {MAX_FILES} files"), "more"));
        }
    }
    Ok(entries)
}

/// Returns the directory's offset and its number of files.
fn directory_start(bytes: &[u8]) -> Option<(usize, u64)> {
    let last = bytes.len().checked_sub(END_BYTES)?;
    let first = last.saturating_sub(MAX_COMMENT_BYTES);
    let end = (first..=last).rev().find(|&at| bytes[at..].starts_with(b"PK\x05\x06"))?;
    let (count, offset) = (u16_at(bytes, end + 10)?, u32_at(bytes, end + 16)?);
    if count < u16::MAX && offset < IN_EXTRA {
        return Some((offset as usize, count.into()));
    }
    // ZIP64: a locator precedes the end record.
    let locator = end.checked_sub(20).filter(|&at| bytes[at..].starts_with(b"PK\x06\x07"));
    let Some(locator) = locator else { return Some((offset as usize, count.into())) };
    let end = usize::try_from(u64_at(bytes, locator + 8)?).ok()?;
    let end = bytes.get(end..)?;
    let offset = usize::try_from(u64_at(end, 48)?).ok()?;
    end.starts_with(b"PK\x06\x06").then_some((offset, u64_at(end, 32)?))
}

/// Reads a file's entry and the offset of the next one.
fn entry(bytes: &[u8], at: usize) -> Option<(Entry, usize)> {
    let header = bytes.get(at..)?;
    if !header.starts_with(b"PK\x01\x02") {
        return None;
    }
    let [name, extra, comment] = [28, 30, 32].map(|field| u16_at(header, field).map(usize::from));
    let (name_end, extra_end) = (46 + name?, 46 + name? + extra?);
    let path = String::from_utf8_lossy(header.get(46..name_end)?).into_owned();
    let mut large = zip64_numbers(header.get(name_end..extra_end)?).into_iter();
    let mut number = |field: usize| match u32_at(header, field)? {
        IN_EXTRA => large.next(),
        number => Some(number.into()),
    };
    // The order of ZIP64's numbers: size, packed size, offset.
    let size = number(24)?;
    let entry = Entry {
        path: sanitized(&path),
        is_encrypted: u16_at(header, 8)? & 1 == 1,
        method: u16_at(header, 10)?,
        crc: u32_at(header, 16)?,
        bytes: size,
        packed_bytes: number(20)?,
        offset: number(42)?,
    };
    Some((entry, at + extra_end + comment?))
}

/// Returns the numbers of ZIP64's extra field.
fn zip64_numbers(mut extra: &[u8]) -> Vec<u64> {
    while let (Some(id), Some(size)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some(field) = extra.get(4..4 + usize::from(size)) else { break };
        if id == 1 {
            return field
                .as_chunks::<8>()
                .0
                .iter()
                .map(|bytes| u64::from_le_bytes(*bytes))
                .collect();
        }
        extra = &extra[4 + field.len()..];
    }
    Vec::new()
}

/// Returns a path with `/` and without steps to outside the archive. Names in an old encoding lose
/// their letters.
fn sanitized(path: &str) -> String {
    let path = path.replace('\\', "/");
    let is_folder = path.ends_with('/');
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    let printable = |c: char| if c.is_control() { '_' } else { c };
    let joined = parts.collect::<Vec<_>>().join("/").chars().map(printable).collect::<String>();
    if is_folder { joined + "/" } else { joined }
}

/// Unpacks one file.
fn unpack(archive: &[u8], entry: &Entry) -> Result<Vec<u8>> {
    if entry.is_encrypted {
        return Err(Error::format(FORMAT, "files without a password", "an encrypted file"));
    }
    let packed = packed(archive, entry)
        .ok_or_else(|| Error::format(FORMAT, "the file's bytes", "the archive's end before"))?;
    let mut out = Vec::new();
    match entry.method {
        0 => out.extend_from_slice(packed),
        8 => {
            DeflateDecoder::new(packed)
                .take(entry.bytes.saturating_add(1))
                .read_to_end(&mut out)
                .map_err(|error| Error::format(FORMAT, "undamaged compressed data", error))?;
        }
        method => {
            let found = format!("method {method}");
            return Err(Error::format(FORMAT, "files that are stored or deflated", found));
        }
    }
    let mut crc = flate2::Crc::new();
    crc.update(&out);
    if out.len() as u64 != entry.bytes || crc.sum() != entry.crc {
        let expected = format!("{} undamaged bytes", entry.bytes);
        return Err(Error::format(FORMAT, expected, format!("{} other ones", out.len())));
    }
    Ok(out)
}

/// Returns the packed bytes behind the file's own header.
fn packed<'a>(archive: &'a [u8], entry: &Entry) -> Option<&'a [u8]> {
    let header = archive.get(usize::try_from(entry.offset).ok()?..)?;
    if !header.starts_with(b"PK\x03\x04") {
        return None;
    }
    let start = 30 + usize::from(u16_at(header, 26)?) + usize::from(u16_at(header, 28)?);
    header.get(start..start.checked_add(usize::try_from(entry.packed_bytes).ok()?)?)
}
