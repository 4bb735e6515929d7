//! JPEG-LS (ITU-T T.87), lossless and near-lossless, of one component.

mod context;

use super::bits::{Bits, Stuffing};
use crate::formats::dicom::file::FORMAT;
use crate::{Error, Result};
use context::{Context, RunContext};

/// The lengths of runs as powers of two, by the run index (T.87, A.2.1).
const RUN_LENGTHS: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13,
    14, 15,
];

fn error(found: impl ToString) -> Error {
    Error::format(FORMAT, "pixels in JPEG-LS of one component", found)
}

/// The parameters of a picture (T.87, C.2.4.1.1).
struct Parameters {
    width: usize,
    height: usize,
    max_value: i32,
    near: i32,
    thresholds: [i32; 3],
    reset: i32,
    /// The number of values that an error can have.
    range: i32,
    /// The bits of an error.
    range_bits: u32,
    /// The longest code.
    limit: u32,
}

/// Decodes a picture of `width` x `height` pixels, row by row.
pub fn decode(bytes: &[u8], width: usize, height: usize) -> Result<Vec<i32>> {
    let (parameters, start) = header(bytes)?;
    if (parameters.width, parameters.height) != (width, height) {
        return Err(error(format!("{} x {} pixels", parameters.width, parameters.height)));
    }
    let bits = Bits::new(bytes.get(start..).unwrap_or_default(), Stuffing::Bit);
    Decoder::new(&parameters, bits).decode()
}

/// Reads the segments before the pixels, and returns the offset of the pixels.
fn header(bytes: &[u8]) -> Result<(Parameters, usize)> {
    let (mut at, mut frame, mut preset) = (2, None, [0; 5]);
    loop {
        let cut_off = || error("a header that is cut off");
        let [ones, code, high, low] =
            *bytes.get(at..).and_then(|b| b.first_chunk()).ok_or_else(cut_off)?;
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        let segment = bytes.get(at + 4..end).ok_or_else(cut_off)?;
        if ones != 0xff {
            return Err(error("no marker"));
        }
        match (code, segment) {
            (0xf7, &[precision @ 2..=16, h1, h0, w1, w0, 1, ..]) => {
                let size = [[w1, w0], [h1, h0]].map(|pair| usize::from(u16::from_be_bytes(pair)));
                frame = Some((precision, size));
            }
            (0xf8, &[1, ref numbers @ ..]) if numbers.len() >= 10 => {
                let number = |n: usize| u16::from_be_bytes([numbers[2 * n], numbers[2 * n + 1]]);
                preset = std::array::from_fn(|n| i32::from(number(n)));
            }
            (0xda, &[1, _, 0, near, 0, 0]) => {
                let (precision, [width, height]) = frame.ok_or_else(|| error("no frame"))?;
                let parameters = Parameters::new(width, height, precision, near.into(), preset)
                    .ok_or_else(|| error("parameters outside their range"))?;
                return Ok((parameters, end));
            }
            (0xf7 | 0xf8 | 0xda | 0xdd, _) => {
                return Err(error(format!("a segment {code:#04x} of another form")));
            }
            _ => {}
        }
        at = end;
    }
}

impl Parameters {
    /// Returns the parameters; those that are 0 in `preset` have their default (T.87, C.2.4.1.1).
    fn new(
        width: usize,
        height: usize,
        precision: u8,
        near: i32,
        preset: [i32; 5],
    ) -> Option<Parameters> {
        let or = |number: i32, default: i32| if number == 0 { default } else { number };
        let max_value = or(preset[0], (1 << precision) - 1);
        let clamped = |number: i32, low: i32| match number > max_value || number < low {
            true => low,
            false => number,
        };
        let basic = match max_value >= 128 {
            true => {
                let factor = (max_value.min(4095) + 128) / 256;
                [factor + 2 + 3 * near, 4 * factor + 3 + 5 * near, 17 * factor + 4 + 7 * near]
            }
            false => {
                let factor = 256 / (max_value + 1);
                [
                    (3 / factor + 3 * near).max(2),
                    (7 / factor + 5 * near).max(3),
                    (21 / factor + 7 * near).max(4),
                ]
            }
        };
        let first = or(preset[1], clamped(basic[0], near + 1));
        let second = or(preset[2], clamped(basic[1], first));
        let third = or(preset[3], clamped(basic[2], second));
        let range = (max_value + 2 * near) / (2 * near + 1) + 1;
        let bits_of = |count: i32| 32 - (count - 1).max(1).leading_zeros();
        let bits = bits_of(max_value + 1).max(2);
        let is_valid = max_value < 1 << precision && near <= max_value / 2 && range >= 2;
        let parameters = Parameters {
            width,
            height,
            max_value,
            near,
            thresholds: [first, second, third],
            reset: or(preset[4], 64).max(3),
            range,
            range_bits: bits_of(range),
            limit: 2 * (bits + bits.max(8)),
        };
        is_valid.then_some(parameters)
    }

    /// Returns the region of a gradient, from −4 to 4 (T.87, A.3.3).
    fn quantized(&self, gradient: i32) -> i32 {
        let size = gradient.abs();
        let [first, second, third] = self.thresholds;
        let region = match () {
            _ if size <= self.near => 0,
            _ if size < first => 1,
            _ if size < second => 2,
            _ if size < third => 3,
            _ => 4,
        };
        region * gradient.signum()
    }

    /// Returns a value from its prediction and error (T.87, A.4.5).
    fn reconstructed(&self, prediction: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut value = prediction + error * step;
        if value < -self.near {
            value += self.range * step;
        } else if value > self.max_value + self.near {
            value -= self.range * step;
        }
        value.clamp(0, self.max_value)
    }
}

/// The state of decoding.
struct Decoder<'a> {
    parameters: &'a Parameters,
    bits: Bits<'a>,
    contexts: Vec<Context>,
    run_contexts: [RunContext; 2],
    run_index: usize,
}

/// The neighbors of a pixel: to the left, above, above to the left, above to the right.
struct Neighbors {
    a: i32,
    b: i32,
    c: i32,
    d: i32,
}

impl<'a> Decoder<'a> {
    fn new(parameters: &'a Parameters, bits: Bits<'a>) -> Self {
        let sum = ((parameters.range + 32) / 64).max(2);
        Decoder {
            parameters,
            bits,
            contexts: vec![Context::new(sum); 365],
            run_contexts: [RunContext::new(sum, 0), RunContext::new(sum, 1)],
            run_index: 0,
        }
    }

    fn decode(mut self) -> Result<Vec<i32>> {
        let &Parameters { width, height, .. } = self.parameters;
        let mut out = Vec::with_capacity(width * height);
        // Each row has the pixel to its left, and the one to its right.
        let (mut above, mut row) = (vec![0; width + 2], vec![0; width + 2]);
        for _ in 0..height {
            above[width + 1] = above[width];
            row[0] = above[1];
            let mut x = 1;
            while x <= width {
                x = self.step(&mut row, &above, x);
            }
            if self.bits.is_past_end() {
                return Err(error("its end before the picture's"));
            }
            out.extend_from_slice(&row[1..=width]);
            std::mem::swap(&mut above, &mut row);
        }
        Ok(out)
    }

    /// Decodes a pixel or a run of pixels at `x`, and returns the next place.
    fn step(&mut self, row: &mut [i32], above: &[i32], x: usize) -> usize {
        let near = Neighbors { a: row[x - 1], b: above[x], c: above[x - 1], d: above[x + 1] };
        let parameters = self.parameters;
        let gradients = [near.d - near.b, near.b - near.c, near.c - near.a];
        let [first, second, third] = gradients.map(|gradient| parameters.quantized(gradient));
        let region = 81 * first + 9 * second + third;
        if region == 0 {
            return self.run(row, above, x);
        }
        let sign = region.signum();
        let smooth = match near.c {
            c if c >= near.a.max(near.b) => near.a.min(near.b),
            c if c <= near.a.min(near.b) => near.a.max(near.b),
            c => near.a + near.b - c,
        };
        let context = &mut self.contexts[region.unsigned_abs() as usize];
        let prediction = (smooth + sign * context.correction).clamp(0, parameters.max_value);
        let k = context.golomb_parameter();
        let code = golomb(&mut self.bits, k, parameters.limit, parameters.range_bits);
        let error =
            context.error(code, k, parameters.near).clamp(-parameters.range, parameters.range);
        context.update(error, parameters.near, parameters.reset);
        row[x] = parameters.reconstructed(prediction, sign * error);
        x + 1
    }

    /// Decodes pixels that equal their left neighbor, and the one that ends them (T.87, A.7).
    fn run(&mut self, row: &mut [i32], above: &[i32], mut x: usize) -> usize {
        let left = row[x - 1];
        // The last place of a row is not a pixel.
        let end = row.len() - 1;
        while self.bits.take(1) == 1 {
            let length = 1 << RUN_LENGTHS[self.run_index];
            let stop = (x + length).min(end);
            row[x..stop].fill(left);
            if x + length <= end && self.run_index < 31 {
                self.run_index += 1;
            }
            x = stop;
            if x == end {
                return end;
            }
        }
        let rest = self.bits.take(RUN_LENGTHS[self.run_index]) as usize;
        // A run that ends with the row is coded by ones alone.
        let stop = (x + rest).min(end - 1);
        row[x..stop].fill(left);
        row[stop] = self.run_end(left, above[stop]);
        self.run_index = self.run_index.saturating_sub(1);
        stop + 1
    }

    /// Decodes the pixel behind a run of `left`.
    fn run_end(&mut self, left: i32, above: i32) -> i32 {
        let parameters = self.parameters;
        let is_flat = (left - above).abs() <= parameters.near;
        let context = &mut self.run_contexts[usize::from(is_flat)];
        let k = context.golomb_parameter();
        let limit = parameters.limit - RUN_LENGTHS[self.run_index] - 1;
        let code = golomb(&mut self.bits, k, limit, parameters.range_bits);
        let error = context.error(code.min(2 * parameters.range), k, parameters.reset);
        match is_flat {
            true => parameters.reconstructed(left, error),
            false => parameters.reconstructed(above, if left > above { -error } else { error }),
        }
    }
}

/// Takes a Golomb code of limited length (T.87, A.5.3).
fn golomb(bits: &mut Bits, k: u32, limit: u32, range_bits: u32) -> i32 {
    let longest = limit.saturating_sub(range_bits + 1);
    let mut zeros = 0;
    while zeros < longest && bits.take(1) == 0 {
        zeros += 1;
    }
    match zeros < longest {
        true => (zeros << k | bits.take(k)) as i32,
        false => {
            bits.take(1);
            bits.take(range_bits) as i32 + 1
        }
    }
}
