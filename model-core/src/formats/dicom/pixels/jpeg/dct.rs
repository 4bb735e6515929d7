//! Sequential JPEG (T.81, annexes A and F): blocks of 8 x 8 cosines.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use super::header::{Header, Scan, error};
use super::huffman::difference;
use crate::Result;
use crate::formats::dicom::pixels::bits::Bits;

/// The place in a block of each coefficient in its stored order (T.81, figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Decodes the pixels of a scan.
pub fn decode(header: &Header, scan: &Scan, bits: &mut Bits) -> Result<Vec<i32>> {
    let &Header { width, height, precision, .. } = header;
    let (dc, ac) = (header.huffman(0, scan.dc_table)?, header.huffman(1, scan.ac_table)?);
    let quantization = header.quantization[header.quantization_table];
    let quantization = quantization.ok_or_else(|| error("no quantization table"))?;
    let cosines = cosines();
    let (level, highest) = (1 << (precision - 1), (1 << precision) - 1);
    let (columns, rows) = (width.div_ceil(8), height.div_ceil(8));
    let mut out = vec![0; width * height];
    let mut last_dc = 0i32;
    for block in 0..columns * rows {
        let interval = header.restart_interval;
        if interval > 0 && block > 0 && block % interval == 0 {
            if !bits.restart() {
                return Err(error("its end before the picture's"));
            }
            last_dc = 0;
        }
        let damaged = || error("damaged data");
        let size = dc.decode(bits).ok_or_else(damaged)?;
        last_dc = last_dc.wrapping_add(difference(bits, size.min(16)));
        let mut coefficients = [0.0f32; 64];
        coefficients[0] = last_dc as f32 * f32::from(quantization[0]);
        let mut at = 1;
        while at < 64 {
            let code = ac.decode(bits).ok_or_else(damaged)?;
            let (zeros, size) = (usize::from(code >> 4), code & 15);
            at += zeros;
            match (size, zeros) {
                (0, 15) => {}
                (0, _) => break,
                _ => {
                    let place = *ZIGZAG.get(at).ok_or_else(damaged)?;
                    let value = difference(bits, size) as f32;
                    coefficients[usize::from(place)] = value * f32::from(quantization[at]);
                }
            }
            at += 1;
        }
        if bits.is_past_end() {
            return Err(error("its end before the picture's"));
        }
        let pixels = inverse(&coefficients, &cosines);
        let (left, top) = (block % columns * 8, block / columns * 8);
        for (n, pixel) in pixels.iter().enumerate() {
            let (x, y) = (left + n % 8, top + n / 8);
            if x < width && y < height {
                out[y * width + x] = (pixel.round() as i32 + level).clamp(0, highest);
            }
        }
    }
    Ok(out)
}

/// Returns the value of cosine `u` at pixel `x`, at `8 x + u` (T.81, A.3.3).
fn cosines() -> [f32; 64] {
    std::array::from_fn(|n| {
        let (x, u) = ((n / 8) as f32, (n % 8) as f32);
        let scale = if n % 8 == 0 { FRAC_1_SQRT_2 } else { 1.0 };
        0.5 * scale * ((2.0 * x + 1.0) * u * PI / 16.0).cos()
    })
}

/// Returns the pixels of a block.
fn inverse(coefficients: &[f32; 64], cosines: &[f32; 64]) -> [f32; 64] {
    let sum = |f: &dyn Fn(usize) -> f32| (0..8).map(f).sum::<f32>();
    let rows: [f32; 64] = std::array::from_fn(|n| {
        let (v, x) = (n / 8, n % 8);
        sum(&|u| cosines[8 * x + u] * coefficients[8 * v + u])
    });
    std::array::from_fn(|n| {
        let (y, x) = (n / 8, n % 8);
        sum(&|v| cosines[8 * y + v] * rows[8 * v + x])
    })
}
