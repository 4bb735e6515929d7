//! JPEG (ITU-T T.81): sequential DCT of 8 and 12 bits, and lossless, of one component.
//!
//! Progressive JPEG is no part of DICOM any more.

mod dct;
mod header;
mod huffman;
mod lossless;

use super::bits::{Bits, Stuffing};
use crate::Result;
use header::{Header, error, scan};

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
