//! Lossless JPEG (T.81, annex H): each pixel is predicted from its neighbors.

use super::header::{Header, Scan, error};
use super::huffman::difference;
use crate::Result;
use crate::formats::dicom::pixels::bits::Bits;

/// Decodes the pixels of a scan.
pub fn decode(header: &Header, scan: &Scan, bits: &mut Bits) -> Result<Vec<i32>> {
    let &Header { width, height, precision, .. } = header;
    let table = header.huffman(0, scan.dc_table)?;
    if !(1..=7).contains(&scan.predictor) || scan.point_transform >= precision {
        return Err(error(format!("predictor {}", scan.predictor)));
    }
    let first = 1 << (precision - scan.point_transform - 1);
    let mut out: Vec<i32> = Vec::with_capacity(width * height);
    // After a restart pixels are predicted as in the first row.
    let mut first_row = 0;
    for y in 0..height {
        for x in 0..width {
            let index = y * width + x;
            let interval = header.restart_interval;
            let mut is_start = index == 0;
            if interval > 0 && index > 0 && index % interval == 0 {
                if !bits.restart() {
                    return Err(error("its end before the picture's"));
                }
                (is_start, first_row) = (true, y);
            }
            let left = || out[index - 1];
            let above = || out[index - width];
            let prediction = match (x, y == first_row) {
                _ if is_start => first,
                (0, true) => first,
                (_, true) => left(),
                (0, false) => above(),
                _ => predict(scan.predictor, left(), above(), out[index - width - 1]),
            };
            let size = table.decode(bits).ok_or_else(|| error("damaged data"))?;
            out.push((prediction + difference(bits, size)) & 0xffff);
        }
        if bits.is_past_end() {
            return Err(error("its end before the picture's"));
        }
    }
    out.iter_mut().for_each(|pixel| *pixel <<= scan.point_transform);
    Ok(out)
}

/// Returns the prediction from the pixels to the left, above, and above to the left (table H.1).
fn predict(predictor: u8, a: i32, b: i32, c: i32) -> i32 {
    match predictor {
        1 => a,
        2 => b,
        3 => c,
        4 => a + b - c,
        5 => a + ((b - c) >> 1),
        6 => b + ((a - c) >> 1),
        _ => (a + b) >> 1,
    }
}
