//! Makes DICOM files, in explicit little-endian form, without the reader that is tested.

use std::collections::BTreeMap;

use model_core::formats::study::SourceFile;

/// The attributes of a file or of a sequence's item, by their tags.
#[derive(Clone, Default)]
pub struct Dicom(BTreeMap<u32, (&'static str, Vec<u8>)>);

pub const CLASS: u32 = 0x0008_0016;
pub const INSTANCE: u32 = 0x0008_0018;
pub const DESCRIPTION: u32 = 0x0008_103e;
pub const NAME: u32 = 0x0010_0010;
pub const ID: u32 = 0x0010_0020;
pub const BIRTH_DATE: u32 = 0x0010_0030;
pub const ECHO_TIME: u32 = 0x0018_0081;
pub const SERIES_UID: u32 = 0x0020_000e;
pub const POSITION: u32 = 0x0020_0032;
pub const ORIENTATION: u32 = 0x0020_0037;
pub const NUM_FRAMES: u32 = 0x0028_0008;
pub const PHOTOMETRIC: u32 = 0x0028_0004;
pub const SPACING: u32 = 0x0028_0030;
pub const INTERCEPT: u32 = 0x0028_1052;
pub const SLOPE: u32 = 0x0028_1053;
pub const PIXELS: u32 = 0x7fe0_0010;

/// The size of a slice.
pub const COLUMNS: usize = 4;
pub const ROWS: usize = 3;

impl Dicom {
    pub fn text(self, tag: u32, vr: &'static str, text: &str) -> Dicom {
        self.raw(tag, vr, text.as_bytes())
    }

    pub fn raw(mut self, tag: u32, vr: &'static str, bytes: &[u8]) -> Dicom {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(2), b' ');
        self.0.insert(tag, (vr, bytes));
        self
    }

    pub fn u16(mut self, tag: u32, value: u16) -> Dicom {
        self.0.insert(tag, ("US", value.to_le_bytes().to_vec()));
        self
    }

    pub fn f64(mut self, tag: u32, value: f64) -> Dicom {
        self.0.insert(tag, ("FD", value.to_le_bytes().to_vec()));
        self
    }

    pub fn pixels(mut self, values: impl Iterator<Item = u16>) -> Dicom {
        self.0.insert(PIXELS, ("OW", values.flat_map(u16::to_le_bytes).collect()));
        self
    }

    pub fn items(mut self, tag: u32, items: Vec<Dicom>) -> Dicom {
        let mut bytes = Vec::new();
        for item in items {
            let item = item.attributes();
            bytes.extend([0xfe, 0xff, 0x00, 0xe0]);
            bytes.extend((item.len() as u32).to_le_bytes());
            bytes.extend(item);
        }
        self.0.insert(tag, ("SQ", bytes));
        self
    }

    pub fn without(mut self, tag: u32) -> Dicom {
        self.0.remove(&tag);
        self
    }

    fn attributes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (tag, (vr, value)) in &self.0 {
            out.extend(((tag >> 16) as u16).to_le_bytes());
            out.extend((*tag as u16).to_le_bytes());
            out.extend(vr.as_bytes());
            match *vr {
                "OW" | "SQ" => {
                    out.extend([0, 0]);
                    out.extend((value.len() as u32).to_le_bytes());
                }
                _ => out.extend((value.len() as u16).to_le_bytes()),
            }
            out.extend(value);
        }
        out
    }

    /// Returns the file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let meta = Dicom::default().text(0x0002_0010, "UI", "1.2.840.10008.1.2.1");
        [vec![0; 128], b"DICM".to_vec(), meta.attributes(), self.attributes()].concat()
    }

    pub fn file(&self, path: &str) -> SourceFile {
        SourceFile { path: path.to_string(), bytes: self.bytes() }
    }
}

/// Returns the attributes that all slices share.
pub fn common() -> Dicom {
    Dicom::default()
        .text(CLASS, "UI", "1.2.840.10008.5.1.4.1.1.4")
        .text(0x0008_0060, "CS", "MR")
        .text(DESCRIPTION, "LO", "t2 tse")
        .text(NAME, "PN", "Roe^Jane")
        .text(ID, "LO", "4711-08")
        .text(0x0020_000d, "UI", "1.2.3")
        .text(SERIES_UID, "UI", "1.2.3.1")
        .u16(0x0028_0002, 1)
        .text(PHOTOMETRIC, "CS", "MONOCHROME2")
        .u16(0x0028_0010, ROWS as u16)
        .u16(0x0028_0011, COLUMNS as u16)
        .text(SPACING, "DS", "2\\0.5")
        .u16(0x0028_0100, 16)
        .u16(0x0028_0101, 12)
        .u16(0x0028_0102, 11)
        .u16(0x0028_0103, 0)
}

/// Returns the values of a slice.
pub fn values(index: usize) -> impl Iterator<Item = u16> {
    (0..ROWS * COLUMNS).map(move |n| (100 * index + n) as u16)
}

/// Returns an axial slice at 2.5 mm times its index, of 0.5 x 2 mm pixels.
pub fn slice(index: usize) -> Dicom {
    common()
        .text(INSTANCE, "UI", &format!("1.2.3.1.{}", index + 1))
        .text(0x0020_0013, "IS", &(index + 1).to_string())
        .text(POSITION, "DS", &format!("10\\20\\{}", 30.0 + 2.5 * index as f64))
        .text(ORIENTATION, "DS", "1\\0\\0\\0\\1\\0")
        .pixels(values(index))
}

/// Returns the files of `count` slices.
pub fn slices(count: usize) -> Vec<SourceFile> {
    (0..count).map(|index| slice(index).file(&format!("s/{index}"))).collect()
}
