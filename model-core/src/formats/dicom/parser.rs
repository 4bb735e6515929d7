//! Reads the attributes of a data set (PS3.5, section 7), in every uncompressed encoding.

use std::ops::Range;

use super::data_set::{DataSet, Value};
use super::tags::{self, Tag};

/// The deepest nesting of sequences. Functional groups need two levels.
const MAX_DEPTH: usize = 12;

/// The length of a sequence or an item that ends with a delimiter.
const UNDEFINED: u32 = u32::MAX;

/// The structure of the file is damaged; the sentence completes "found …".
pub type Damage = String;

/// Reads attributes from a file's bytes.
pub struct Parser<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    pub explicit: bool,
    pub big_endian: bool,
}

/// The first fields of an attribute.
struct ElementHeader {
    tag: Tag,
    vr: [u8; 2],
    length: u32,
}

impl Parser<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let taken = self.bytes.get(self.at..self.at + N).and_then(|bytes| bytes.try_into().ok());
        self.at += N;
        taken.ok_or_else(|| "its end within an attribute".to_string())
    }

    fn u16(&mut self) -> Result<u16, Damage> {
        let bytes = self.take()?;
        Ok(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&mut self) -> Result<u32, Damage> {
        let bytes = self.take()?;
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn tag(&mut self) -> Result<Tag, Damage> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// Returns the next tag without taking it.
    fn peek_tag(&mut self) -> Result<Tag, Damage> {
        let at = self.at;
        let tag = self.tag();
        self.at = at;
        tag
    }

    fn header(&mut self) -> Result<ElementHeader, Damage> {
        let tag = self.tag()?;
        if tag >> 16 == 0xfffe || !self.explicit {
            return Ok(ElementHeader { tag, vr: *b"  ", length: self.u32()? });
        }
        let vr: [u8; 2] = self.take()?;
        if !vr.iter().all(u8::is_ascii_uppercase) {
            return Err(format!(
                "no type of value at attribute ({:04x},{:04x})",
                tag >> 16,
                tag as u16
            ));
        }
        let is_long = matches!(
            &vr,
            b"OB"
                | b"OD"
                | b"OF"
                | b"OL"
                | b"OV"
                | b"OW"
                | b"SQ"
                | b"SV"
                | b"UC"
                | b"UN"
                | b"UR"
                | b"UT"
                | b"UV"
        );
        let length = match is_long {
            true => {
                self.take::<2>()?;
                self.u32()?
            }
            false => u32::from(self.u16()?),
        };
        Ok(ElementHeader { tag, vr, length })
    }

    /// Reads the file's meta information (group 2), which is always explicit and little-endian.
    pub fn meta(&mut self) -> Result<DataSet, Damage> {
        let mut out = DataSet::default();
        while self.peek_tag().is_ok_and(|tag| tag >> 16 == 2) {
            self.element(&mut out, self.bytes.len(), 0)?;
        }
        Ok(out)
    }

    /// Reads attributes into `out` up to `end`, or to the delimiter of an item. What was read
    /// before damage stays in `out`.
    pub fn data_set(&mut self, out: &mut DataSet, end: usize, depth: usize) -> Result<(), Damage> {
        while self.at < end {
            // Zeros may fill the rest of a file.
            if depth == 0 && self.bytes[self.at..].iter().all(|&byte| byte == 0) {
                break;
            }
            if self.peek_tag()? == tags::ITEM_END {
                self.take::<8>()?;
                break;
            }
            self.element(out, end, depth)?;
        }
        Ok(())
    }

    fn element(&mut self, out: &mut DataSet, end: usize, depth: usize) -> Result<(), Damage> {
        let header = self.header()?;
        let tag = header.tag;
        let is_pixels = tag == tags::PIXELS && header.length == UNDEFINED;
        if is_pixels {
            let (fragments, damage) = self.fragments();
            out.elements.push((tag, Value::Fragments(fragments)));
            return damage.map_or(Ok(()), Err);
        }
        let is_sequence = header.vr == *b"SQ"
            || header.length == UNDEFINED
            || matches!(&header.vr, b"  " | b"UN") && tags::is_sequence(tag);
        if is_sequence && (header.length == UNDEFINED || tags::is_wanted(tag)) {
            // A sequence of unknown type is implicit (PS3.5, section 6.2.2).
            let explicit = self.explicit;
            self.explicit &= header.vr != *b"UN";
            let items = self.items(header.length, end, depth + 1);
            self.explicit = explicit;
            let items = items?;
            if tags::is_wanted(tag) {
                out.elements.push((tag, Value::Items(items)));
            }
            return Ok(());
        }
        let range = self.range(header.length, end);
        if tags::is_wanted(tag) {
            out.elements.push((tag, Value::Bytes(range.clone())));
        }
        match range.len() == header.length as usize {
            true => Ok(()),
            false => {
                let (found, expected) = (range.len(), header.length);
                let name = if tag == tags::PIXELS { "its pixels" } else { "an attribute" };
                Err(format!("only {found} of {expected} bytes of {name}"))
            }
        }
    }

    /// Takes the next bytes: as many as there are before `end`.
    fn range(&mut self, length: u32, end: usize) -> Range<usize> {
        let start = self.at.min(end);
        let range = start..start.saturating_add(length as usize).min(end);
        self.at = range.end;
        range
    }

    fn items(&mut self, length: u32, end: usize, depth: usize) -> Result<Vec<DataSet>, Damage> {
        if depth > MAX_DEPTH {
            return Err(format!("sequences within more than {MAX_DEPTH} others"));
        }
        let end = match length {
            UNDEFINED => end,
            length => match self.at.checked_add(length as usize) {
                Some(stated) if stated <= end => stated,
                _ => return Err("a sequence that is longer than the file".to_string()),
            },
        };
        let mut items = Vec::new();
        while self.at < end {
            let header = self.header()?;
            match header.tag {
                tags::SEQUENCE_END => return Ok(items),
                tags::ITEM => {}
                _ => return Err("a sequence without items".to_string()),
            }
            let item_end = match header.length {
                UNDEFINED => end,
                length => self.at.saturating_add(length as usize).min(end),
            };
            let mut item = DataSet::default();
            self.data_set(&mut item, item_end, depth)?;
            items.push(item);
        }
        match length {
            UNDEFINED => Err("its end within a sequence".to_string()),
            _ => Ok(items),
        }
    }

    /// Reads compressed pixels. A last fragment that is cut off is left out, and told as damage.
    fn fragments(&mut self) -> (Vec<Range<usize>>, Option<Damage>) {
        let mut fragments = Vec::new();
        loop {
            match self.header() {
                Err(damage) => return (fragments, Some(damage)),
                Ok(header) if header.tag == tags::SEQUENCE_END => return (fragments, None),
                Ok(header) if header.tag == tags::ITEM => {
                    let range = self.range(header.length, self.bytes.len());
                    if range.len() < header.length as usize {
                        let damage = "its end within the compressed pixels".to_string();
                        return (fragments, Some(damage));
                    }
                    fragments.push(range);
                }
                Ok(_) => return (fragments, Some("compressed pixels without an end".to_string())),
            }
        }
    }
}
