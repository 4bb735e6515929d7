//! Reads written DICOM files, in explicit little-endian form, without the reader and the writer that are
//! tested. `tests/peers/segmentations.py` reads them with other programs.

use std::collections::BTreeMap;

/// The attributes of a file or of a sequence's item, by their tags.
#[derive(Debug, Default)]
pub struct Read(BTreeMap<u32, Value>);

#[derive(Debug)]
enum Value {
    Bytes([u8; 2], Vec<u8>),
    Items(Vec<Read>),
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Returns a tag, whose halves are a group and an element.
fn tag_at(bytes: &[u8], at: usize) -> u32 {
    (u32_at(bytes, at) as u32).rotate_left(16)
}

impl Read {
    /// Reads a file: the meta information and the attributes, in ascending order.
    pub fn file(bytes: &[u8]) -> [Read; 2] {
        assert_eq!(&bytes[128..132], b"DICM");
        // The first attribute of the meta information is its length.
        assert_eq!((tag_at(bytes, 132), u32_at(bytes, 140) % 2), (0x0002_0000, 0));
        let end = 144 + u32_at(bytes, 140);
        [Read::attributes(&bytes[144..end]), Read::attributes(&bytes[end..])]
    }

    fn attributes(mut bytes: &[u8]) -> Read {
        let mut read = Read::default();
        while !bytes.is_empty() {
            let (tag, vr) = (tag_at(bytes, 0), [bytes[4], bytes[5]]);
            let (start, length) = match &vr {
                b"SQ" | b"OB" => (12, u32_at(bytes, 8)),
                _ => (8, usize::from(u16::from_le_bytes([bytes[6], bytes[7]]))),
            };
            assert_eq!(length % 2, 0, "{tag:08x}");
            let value = &bytes[start..start + length];
            let value = match &vr {
                b"SQ" => Value::Items(Read::items_of(value)),
                _ => Value::Bytes(vr, value.to_vec()),
            };
            let last = read.0.last_key_value().map(|(last, _)| *last);
            assert!(last < Some(tag), "{tag:08x} after {last:08x?}");
            read.0.insert(tag, value);
            bytes = &bytes[start + length..];
        }
        read
    }

    fn items_of(mut bytes: &[u8]) -> Vec<Read> {
        let mut items = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(tag_at(bytes, 0), 0xfffe_e000);
            let end = 8 + u32_at(bytes, 4);
            items.push(Read::attributes(&bytes[8..end]));
            bytes = &bytes[end..];
        }
        items
    }

    /// Returns the bytes of an attribute.
    #[track_caller]
    pub fn bytes(&self, tag: u32) -> &[u8] {
        match &self.0[&tag] {
            Value::Bytes(_, bytes) => bytes,
            Value::Items(_) => panic!("{tag:08x} is a sequence"),
        }
    }

    /// Returns a text without its padding.
    #[track_caller]
    pub fn text(&self, tag: u32) -> String {
        let text = String::from_utf8(self.bytes(tag).to_vec()).unwrap();
        text.trim_end_matches(['\0', ' ']).to_string()
    }

    /// Returns the numbers of an attribute of binary or decimal numbers.
    #[track_caller]
    pub fn numbers(&self, tag: u32) -> Vec<f64> {
        let Value::Bytes(vr, bytes) = &self.0[&tag] else { panic!("{tag:08x} is a sequence") };
        match vr {
            b"US" => bytes.chunks(2).map(|n| u16::from_le_bytes([n[0], n[1]]).into()).collect(),
            b"UL" => (0..bytes.len() / 4).map(|n| u32_at(bytes, 4 * n) as f64).collect(),
            _ => self.text(tag).split('\\').map(|number| number.trim().parse().unwrap()).collect(),
        }
    }

    /// Returns the items of a sequence.
    #[track_caller]
    pub fn items(&self, tag: u32) -> &[Read] {
        match &self.0[&tag] {
            Value::Items(items) => items,
            Value::Bytes(..) => panic!("{tag:08x} is no sequence"),
        }
    }

    /// Returns the only item of a sequence.
    #[track_caller]
    pub fn item(&self, tag: u32) -> &Read {
        let [item] = self.items(tag) else { panic!("expected one item of {tag:08x}") };
        item
    }
}
