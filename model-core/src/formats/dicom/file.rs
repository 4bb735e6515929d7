//! One DICOM file: its attributes, and its pixels as they are stored.

use std::io::Read;
use std::ops::Range;

use flate2::read::DeflateDecoder;

use super::data_set::DataSet;
use super::parser::{Damage, Parser};
use super::tags::{self, Tag};
use super::transfer_syntax::{Codec, TransferSyntax, guess, transfer_syntax};
use crate::{Error, Result};

/// The name of the format in errors.
pub const FORMAT: &str = "DICOM file";

/// The bytes before the meta information, and the signature after them.
const PREAMBLE_BYTES: usize = 128;
const SIGNATURE: &[u8] = b"DICM";

/// The class of a DICOMDIR.
const DIRECTORY_CLASS: &str = "1.2.840.10008.1.3.10";

/// The largest file after inflating.
const MAX_INFLATED_BYTES: u64 = 1 << 30;

/// A DICOM file whose attributes are read. Pixels are decoded later.
#[derive(Debug)]
pub struct DicomFile {
    /// The path as the user gave it.
    pub path: String,
    /// The file's bytes, inflated if the file is deflated.
    pub bytes: Vec<u8>,
    pub syntax: TransferSyntax,
    pub data_set: DataSet,
    /// Whether the file is a directory of others (DICOMDIR).
    pub is_directory: bool,
    /// The reason why the file cannot be used, such as a missing end. Its first attributes are
    /// readable.
    pub damage: Option<Damage>,
}

/// Returns whether bytes are a DICOM file, with or without its preamble.
pub fn is_dicom(bytes: &[u8]) -> bool {
    if bytes.get(PREAMBLE_BYTES..PREAMBLE_BYTES + 4) == Some(SIGNATURE) {
        return true;
    }
    // Files of the ACR-NEMA time, or network objects saved as they came, start with group 2 or 8.
    let Some(&[group, 0, element, high, a, b, c, d]) = bytes.first_chunk() else { return false };
    let is_explicit = [a, b].iter().all(u8::is_ascii_uppercase);
    let is_short = u32::from_le_bytes([a, b, c, d]) <= 128;
    let is_first = group == 2 && element <= 1 || group == 8 && element <= 0x18;
    is_first && high == 0 && (is_explicit || is_short) && bytes.len() > PREAMBLE_BYTES
}

impl DicomFile {
    /// Reads a file's attributes. Damage after the first attributes is kept in the result.
    ///
    /// # Errors
    /// [`Error::Format`] if no attribute can be read.
    pub fn open(path: String, bytes: Vec<u8>) -> Result<DicomFile> {
        let has_preamble = bytes.get(PREAMBLE_BYTES..PREAMBLE_BYTES + 4) == Some(SIGNATURE);
        let at = if has_preamble { PREAMBLE_BYTES + 4 } else { 0 };
        let mut parser = Parser { bytes: &bytes, at, explicit: true, big_endian: false };
        let error = |damage: Damage| Error::format(FORMAT, "its attributes", damage);
        let meta = parser.meta().map_err(error)?;
        let at = parser.at;
        let class = meta.range(tags::MEDIA_CLASS).map(|class| text(&bytes, class));
        let is_directory = class.as_deref() == Some(DIRECTORY_CLASS);
        let syntax = match meta.range(tags::TRANSFER_SYNTAX) {
            None => guess(bytes.get(at..).unwrap_or_default()),
            Some(uid) => {
                let uid = text(&bytes, uid);
                transfer_syntax(&uid).ok_or_else(|| {
                    let found = format!("{:?}", uid.chars().take(64).collect::<String>());
                    Error::format(FORMAT, "a transfer syntax of the standard", found)
                })?
            }
        };
        let (bytes, at) = match syntax.deflated {
            true => (inflated(bytes.get(at..).unwrap_or_default())?, 0),
            false => (bytes, at),
        };
        let mut data_set = DataSet::default();
        let mut parser =
            Parser { bytes: &bytes, at, explicit: syntax.explicit, big_endian: syntax.big_endian };
        let damage = parser.data_set(&mut data_set, bytes.len(), 0).err();
        if let (true, Some(damage)) = (data_set.elements.is_empty(), &damage) {
            return Err(error(damage.clone()));
        }
        Ok(DicomFile { path, bytes, syntax, data_set, is_directory, damage })
    }

    /// Returns whether the pixels are compressed.
    pub fn is_compressed(&self) -> bool {
        self.syntax.codec != Codec::Uncompressed
    }

    /// Returns the text of an attribute without the spaces around it; `None` if it is empty.
    pub fn text(&self, tag: Tag) -> Option<String> {
        self.text_at(self.data_set.range(tag)?)
    }

    /// Returns the text of a range of the file; `None` if it is empty.
    pub fn text_at(&self, range: Range<usize>) -> Option<String> {
        Some(text(&self.bytes, range)).filter(|text| !text.is_empty())
    }

    /// Returns the numbers of a decimal or integer string.
    pub fn decimals_at(&self, range: Range<usize>) -> Vec<f64> {
        let text = text(&self.bytes, range);
        let number = |part: &str| part.trim().parse().ok().filter(|x: &f64| x.is_finite());
        text.split('\\').map_while(number).collect()
    }

    /// Returns the first number of a decimal or integer string.
    pub fn decimal(&self, tag: Tag) -> Option<f64> {
        self.decimals_at(self.data_set.range(tag)?).first().copied()
    }

    /// Returns an unsigned number of two or four bytes, or a signed one that is not negative.
    pub fn unsigned_at(&self, range: Range<usize>) -> Option<u32> {
        match *self.bytes.get(range)? {
            [a, b, c, d] if self.syntax.big_endian => Some(u32::from_be_bytes([a, b, c, d])),
            [a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d])),
            [a, b, ..] if self.syntax.big_endian => Some(u16::from_be_bytes([a, b]).into()),
            [a, b, ..] => Some(u16::from_le_bytes([a, b]).into()),
            _ => None,
        }
    }

    /// Returns an unsigned number.
    pub fn unsigned(&self, tag: Tag) -> Option<u32> {
        self.unsigned_at(self.data_set.range(tag)?)
    }

    /// Returns a number of eight bytes.
    pub fn double_at(&self, range: Range<usize>) -> Option<f64> {
        let bytes: [u8; 8] = *self.bytes.get(range)?.first_chunk()?;
        let number = match self.syntax.big_endian {
            true => f64::from_be_bytes(bytes),
            false => f64::from_le_bytes(bytes),
        };
        number.is_finite().then_some(number)
    }
}

/// Returns text in UTF-8, or else in Latin-1. Other character sets lose their letters.
fn text(bytes: &[u8], range: Range<usize>) -> String {
    let bytes = bytes.get(range).unwrap_or_default();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    };
    text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_string()
}

/// Inflates a data set.
fn inflated(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let damaged = |error: std::io::Error| Error::format(FORMAT, "undamaged deflated data", error);
    DeflateDecoder::new(bytes)
        .take(MAX_INFLATED_BYTES + 1)
        .read_to_end(&mut out)
        .map_err(damaged)?;
    match out.len() as u64 > MAX_INFLATED_BYTES {
        true => Err(Error::TooLarge {
            what: "the inflated DICOM file",
            limit_bytes: MAX_INFLATED_BYTES,
            found_bytes: out.len() as u64,
        }),
        false => Ok(out),
    }
}
