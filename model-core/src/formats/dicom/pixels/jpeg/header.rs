//! The segments of a JPEG picture before its pixels (T.81, annex B).

use super::huffman::HuffmanTable;
use crate::formats::dicom::file::FORMAT;
use crate::{Error, Result};

/// The tables and sizes that precede the pixels.
#[derive(Default)]
pub struct Header {
    pub is_lossless: bool,
    pub precision: u32,
    pub width: usize,
    pub height: usize,
    pub quantization_table: usize,
    pub quantization: [Option<[u16; 64]>; 4],
    /// Tables by class (DC or lossless, AC) and number.
    pub huffman: [[Option<HuffmanTable>; 4]; 2],
    pub restart_interval: usize,
}

/// The parameters of the scan.
pub struct Scan {
    pub dc_table: usize,
    pub ac_table: usize,
    /// The predictor of lossless JPEG.
    pub predictor: u8,
    /// The lowest bits that were left out.
    pub point_transform: u32,
}

pub fn error(found: impl ToString) -> Error {
    Error::format(FORMAT, "pixels in JPEG of one component", found)
}

/// Returns the parameters of a scan of one component.
pub fn scan(segment: &[u8]) -> Option<Scan> {
    let &[1, _, tables, start, _, approximation] = segment else { return None };
    Some(Scan {
        dc_table: usize::from(tables >> 4 & 3),
        ac_table: usize::from(tables & 3),
        predictor: start,
        point_transform: u32::from(approximation & 15),
    })
}

impl Header {
    pub fn frame(&mut self, segment: &[u8], is_lossless: bool) -> Option<()> {
        let &[precision, h1, h0, w1, w0, 1, _, _, table] = segment else { return None };
        let precisions = if is_lossless { 2..=16 } else { 8..=12 };
        self.is_lossless = is_lossless;
        self.precision = Some(precision.into()).filter(|p| precisions.contains(p))?;
        self.height = u16::from_be_bytes([h1, h0]).into();
        self.width = u16::from_be_bytes([w1, w0]).into();
        self.quantization_table = usize::from(table & 3);
        Some(())
    }

    pub fn huffman_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&number, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let (values, rest) = rest.split_at_checked(counts.iter().map(|&n| n as usize).sum())?;
            let class = self.huffman.get_mut(usize::from(number >> 4))?;
            class[usize::from(number & 3)] = Some(HuffmanTable::new(counts, values)?);
            segment = rest;
        }
        Some(())
    }

    pub fn quantization_tables(&mut self, mut segment: &[u8]) -> Option<()> {
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

    pub fn huffman(&self, class: usize, number: usize) -> Result<&HuffmanTable> {
        self.huffman[class][number].as_ref().ok_or_else(|| error("no Huffman table"))
    }
}
