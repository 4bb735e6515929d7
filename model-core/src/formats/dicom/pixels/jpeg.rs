//! JPEG (ITU-T T.81): sequential DCT of 8 and 12 bits, and lossless, of one component.
//!
//! Progressive JPEG is no part of DICOM any more.

mod dct;
mod huffman;
mod lossless;

use super::bits::{Bits, Stuffing};
use crate::formats::dicom::file::FORMAT;
use crate::{Error, Result};
use huffman::HuffmanTable;

/// The markers that are read.
mod marker {
    pub const SOF0: u8 = 0xc0;
    pub const SOF1: u8 = 0xc1;
    pub const SOF3: u8 = 0xc3;
    pub const DHT: u8 = 0xc4;
    pub const RST0: u8 = 0xd0;
    pub const SOI: u8 = 0xd8;
    pub const EOI: u8 = 0xd9;
    pub const SOS: u8 = 0xda;
    pub const DQT: u8 = 0xdb;
    pub const DRI: u8 = 0xdd;
}

/// The tables and sizes that precede the pixels.
#[derive(Default)]
struct Header {
    is_lossless: bool,
    precision: u32,
    width: usize,
    height: usize,
    quantization_table: usize,
    quantization: [Option<[u16; 64]>; 4],
    /// Tables by class (DC or lossless, AC) and number.
    huffman: [[Option<HuffmanTable>; 4]; 2],
    restart_interval: usize,
}

/// The parameters of the scan.
struct Scan {
    dc_table: usize,
    ac_table: usize,
    /// The predictor of lossless JPEG.
    predictor: u8,
    /// The lowest bits that were left out.
    point_transform: u32,
}

pub(super) fn error(found: impl ToString) -> Error {
    Error::format(FORMAT, "pixels in JPEG of one component", found)
}

/// Decodes a picture of `width` x `height` pixels, row by row.
pub fn decode(bytes: &[u8], width: usize, height: usize) -> Result<Vec<i32>> {
    let mut header = Header::default();
    let mut at = 0;
    loop {
        let code = next_marker(bytes, &mut at).ok_or_else(|| error("no picture in the data"))?;
        if code == marker::SOI || (marker::RST0..marker::SOI).contains(&code) {
            continue;
        }
        let segment = segment(bytes, &mut at).ok_or_else(|| error("a segment that is cut off"))?;
        let damaged = || error(format!("a damaged segment {code:#04x}"));
        match code {
            marker::SOF0 | marker::SOF1 | marker::SOF3 => {
                header.frame(segment, code == marker::SOF3).ok_or_else(damaged)?
            }
            marker::DHT => header.huffman_tables(segment).ok_or_else(damaged)?,
            marker::DQT => header.quantization_tables(segment).ok_or_else(damaged)?,
            marker::DRI => {
                let [high, low] = *segment.first_chunk().ok_or_else(damaged)?;
                header.restart_interval = u16::from_be_bytes([high, low]).into();
            }
            0xc2 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(error(format!("a process of kind {code:#04x}, such as progressive")));
            }
            marker::SOS => {
                if (header.width, header.height) != (width, height) {
                    return Err(error(format!("{} x {} pixels", header.width, header.height)));
                }
                let scan = scan(segment).ok_or_else(|| error("several components"))?;
                let mut bits = Bits::new(bytes.get(at..).unwrap_or_default(), Stuffing::Byte);
                return match header.is_lossless {
                    true => lossless::decode(&header, &scan, &mut bits),
                    false => dct::decode(&header, &scan, &mut bits),
                };
            }
            marker::EOI => return Err(error("an end before the picture")),
            _ => {}
        }
    }
}

/// Returns the code of the next marker, and moves behind it.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        let ones = rest.iter().position(|&byte| byte == 0xff)?;
        let code = rest[ones..].iter().position(|&byte| byte != 0xff)?;
        *at += ones + code + 1;
        match rest[ones + code] {
            0 => {}
            code => return Some(code),
        }
    }
}

/// Returns the contents of a segment, and moves behind it.
fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let [high, low] = *bytes.get(*at..)?.first_chunk()?;
    let segment = bytes.get(*at + 2..*at + usize::from(u16::from_be_bytes([high, low])))?;
    *at += 2 + segment.len();
    Some(segment)
}

fn scan(segment: &[u8]) -> Option<Scan> {
    let &[1, _, tables, start, _, approximation] = segment else { return None };
    Some(Scan {
        dc_table: usize::from(tables >> 4 & 3),
        ac_table: usize::from(tables & 3),
        predictor: start,
        point_transform: u32::from(approximation & 15),
    })
}

impl Header {
    fn frame(&mut self, segment: &[u8], is_lossless: bool) -> Option<()> {
        let &[precision, h1, h0, w1, w0, 1, _, _, table] = segment else { return None };
        let precisions = if is_lossless { 2..=16 } else { 8..=12 };
        self.is_lossless = is_lossless;
        self.precision = Some(precision.into()).filter(|p| precisions.contains(p))?;
        self.height = u16::from_be_bytes([h1, h0]).into();
        self.width = u16::from_be_bytes([w1, w0]).into();
        self.quantization_table = usize::from(table & 3);
        Some(())
    }

    fn huffman_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&number, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let (values, rest) = rest.split_at_checked(counts.iter().map(|&n| n as usize).sum())?;
            let class = self.huffman.get_mut(usize::from(number >> 4))?;
            class[usize::from(number & 3)] = Some(HuffmanTable::new(counts, values)?);
            segment = rest;
        }
        Some(())
    }

    fn quantization_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&number, rest)) = segment.split_first() {
            let size = if number >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * size)?;
            let mut values = values
                .chunks_exact(size)
                .map(|bytes| bytes.iter().fold(0, |value, byte| value << 8 | u16::from(*byte)));
            let table = std::array::from_fn(|_| values.next().unwrap_or(0));
            self.quantization[usize::from(number & 3)] = Some(table);
            segment = rest;
        }
        Some(())
    }

    fn huffman(&self, class: usize, number: usize) -> Result<&HuffmanTable> {
        self.huffman[class][number].as_ref().ok_or_else(|| error("no Huffman table"))
    }
}
