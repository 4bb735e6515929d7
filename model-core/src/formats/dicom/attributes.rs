//! Writes attributes as Explicit VR Little Endian (PS3.5, section 7 and annex A.2).

use std::collections::BTreeMap;

use super::tags::{self, Tag};
use crate::{Error, Result};

/// The longest value of a type whose length has two bytes; lengths are even.
const MAX_SHORT_BYTES: usize = 0xfffe;

/// The longest decimal string.
const MAX_DECIMAL_CHARS: usize = 16;

/// Attributes to be written, in the order of their tags.
#[derive(Default)]
pub struct Attributes(BTreeMap<Tag, Attribute>);

/// A value with its type, as PS3.6 states it for the tag.
enum Attribute {
    Bytes(&'static str, Vec<u8>),
    Items(Vec<Attributes>),
}

impl Attributes {
    /// Adds bytes; an odd number is filled up.
    pub fn bytes(mut self, tag: Tag, vr: &'static str, mut bytes: Vec<u8>) -> Attributes {
        if bytes.len() % 2 == 1 {
            bytes.push(if matches!(vr, "UI" | "OB") { 0 } else { b' ' });
        }
        self.0.insert(tag, Attribute::Bytes(vr, bytes));
        self
    }

    /// Adds a text.
    pub fn text(self, tag: Tag, vr: &'static str, text: impl AsRef<str>) -> Attributes {
        self.bytes(tag, vr, text.as_ref().as_bytes().to_vec())
    }

    /// Adds decimal strings of at most 16 characters.
    pub fn decimals(self, tag: Tag, numbers: &[f64]) -> Attributes {
        let texts: Vec<String> = numbers.iter().map(|&number| decimal(number)).collect();
        self.text(tag, "DS", texts.join("\\"))
    }

    /// Adds unsigned numbers of two bytes.
    pub fn u16(self, tag: Tag, numbers: &[u16]) -> Attributes {
        self.bytes(tag, "US", numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    /// Adds unsigned numbers of four bytes.
    pub fn u32(self, tag: Tag, numbers: &[u32]) -> Attributes {
        self.bytes(tag, "UL", numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    /// Adds the tag of another attribute.
    pub fn pointer(self, tag: Tag, other: Tag) -> Attributes {
        let halves = [(other >> 16) as u16, other as u16];
        self.bytes(tag, "AT", halves.iter().flat_map(|half| half.to_le_bytes()).collect())
    }

    /// Adds a sequence.
    pub fn items(mut self, tag: Tag, items: Vec<Attributes>) -> Attributes {
        self.0.insert(tag, Attribute::Items(items));
        self
    }

    /// Adds a sequence of one item.
    pub fn item(self, tag: Tag, item: Attributes) -> Attributes {
        self.items(tag, vec![item])
    }

    /// Adds the attributes of another set.
    pub fn with(mut self, other: Attributes) -> Attributes {
        self.0.extend(other.0);
        self
    }

    /// Appends the attributes to `out`.
    ///
    /// # Errors
    /// [`Error::Segmentation`] if a value is longer than its type allows.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        for (&tag, attribute) in &self.0 {
            write_tag(out, tag);
            match attribute {
                Attribute::Bytes(vr, bytes) => {
                    out.extend(vr.as_bytes());
                    match *vr {
                        "OB" => {
                            out.extend([0, 0]);
                            out.extend(length(bytes.len())?.to_le_bytes());
                        }
                        _ if bytes.len() > MAX_SHORT_BYTES => {
                            let expected = format!("at most {MAX_SHORT_BYTES} bytes of a value");
                            return Err(too_long(expected, bytes.len()));
                        }
                        _ => out.extend((bytes.len() as u16).to_le_bytes()),
                    }
                    out.extend(bytes);
                }
                Attribute::Items(items) => {
                    out.extend(b"SQ\0\0");
                    with_length(out, |out| {
                        items.iter().try_for_each(|item| {
                            write_tag(out, tags::ITEM);
                            with_length(out, |out| item.write(out))
                        })
                    })?;
                }
            }
        }
        Ok(())
    }
}

fn write_tag(out: &mut Vec<u8>, tag: Tag) {
    out.extend(((tag >> 16) as u16).to_le_bytes());
    out.extend((tag as u16).to_le_bytes());
}

/// Writes the length of what `write` appends, then this.
fn with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let at = out.len();
    out.extend([0; 4]);
    write(out)?;
    let written = length(out.len() - at - 4)?;
    out[at..at + 4].copy_from_slice(&written.to_le_bytes());
    Ok(())
}

/// Returns a length of four bytes; the largest one has another meaning.
fn length(bytes: usize) -> Result<u32> {
    let length = u32::try_from(bytes).ok().filter(|length| *length < u32::MAX);
    length.ok_or_else(|| too_long("less than 4 GiB".to_string(), bytes))
}

fn too_long(expected: String, found: usize) -> Error {
    Error::segmentation(expected, found)
}

/// Returns a number as a decimal string: at most 16 characters (PS3.5, section 6.2).
fn decimal(number: f64) -> String {
    let plain = format!("{number}");
    if plain.len() <= MAX_DECIMAL_CHARS {
        return plain;
    }
    let rounded = |digits: usize| match number.abs() {
        1e-3..1e13 => format!("{number:.digits$}"),
        _ => format!("{number:.digits$e}"),
    };
    let mut texts = (0..MAX_DECIMAL_CHARS).rev().map(rounded);
    texts.find(|text| text.len() <= MAX_DECIMAL_CHARS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_string_has_at_most_16_characters() {
        let cases = [
            (0.5, "0.5"),
            (-120.0, "-120"),
            (-0.012345678901, "-0.012345678901"),
            (-123.456_789_012_345_6, "-123.45678901235"),
            (0.1234567890123456, "0.12345678901235"),
            (1.234e-12, "1.2340000000e-12"),
            (-1.0 / 3.0 * 1e-7, "-3.3333333333e-8"),
        ];
        for (number, text) in cases {
            assert_eq!(decimal(number), text);
            assert!(
                (decimal(number).parse::<f64>().unwrap() - number).abs() <= 1e-9 * number.abs()
            );
        }
    }

    #[test]
    fn values_have_even_lengths_and_items_theirs() {
        let inner = Attributes::default().text(0x0008_0100, "SH", "abc");
        let set = Attributes::default().item(0x0008_2218, inner).text(0x0008_0018, "UI", "1.2");
        let mut out = Vec::new();
        set.write(&mut out).unwrap();
        let expected = b"\x08\0\x18\0UI\x04\x001.2\0\
            \x08\0\x18\x22SQ\0\0\x14\0\0\0\xfe\xff\0\xe0\x0c\0\0\0\x08\0\0\x01SH\x04\0abc ";
        assert_eq!(out, expected);
    }

    #[test]
    fn a_value_that_is_too_long_is_refused() {
        let set = Attributes::default().text(0x0010_0010, "PN", "x".repeat(0xffff));
        let error = set.write(&mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("expected at most 65534 bytes"), "{error}");
    }
}
