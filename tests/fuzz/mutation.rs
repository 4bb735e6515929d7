//! Random changes of bytes that keep most of a file valid.

use rand::{Rng, RngExt};

/// Integers at the limits of their types and of the formats.
const INTEGERS: [i64; 26] = [
    0,
    1,
    -1,
    2,
    3,
    4,
    7,
    8,
    16,
    64,
    127,
    128,
    255,
    256,
    348,
    352,
    540,
    1024,
    1025,
    32767,
    -32768,
    65535,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
];

/// Floats at the limits of their type and of the formats.
const FLOATS: [f64; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    3.0,
    348.0,
    352.0,
    352.5,
    -352.0,
    1e9,
    1e-4,
    1e-30,
    1e-45,
    3.4e38,
    -3.4e38,
    1e300,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

/// The largest number of zeros that are appended to a file.
const MAX_GROWTH_BYTES: usize = 64 << 10;

pub(super) fn choice<'a, T>(random: &mut impl Rng, items: &'a [T]) -> &'a T {
    &items[random.random_range(0..items.len())]
}

/// Returns an integer that a reader may not expect.
pub(super) fn integer(random: &mut impl Rng) -> i64 {
    match random.random_range(0..4) {
        0 => random.random_range(0..16),
        _ => *choice(random, &INTEGERS),
    }
}

/// Returns a float that a reader may not expect.
pub(super) fn float(random: &mut impl Rng) -> f64 {
    match random.random_range(0..4) {
        0 => f64::from(f32::from_bits(random.next_u32())),
        _ => *choice(random, &FLOATS),
    }
}

/// Returns a range within a length, of at most `max_length` elements.
fn range(random: &mut impl Rng, length: usize, max_length: usize) -> std::ops::Range<usize> {
    let start = random.random_range(0..length);
    start..(start + random.random_range(1..=max_length)).min(length)
}

/// Makes one to four changes. `others` are files of the same kind.
pub(super) fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut impl Rng) {
    for _ in 0..random.random_range(1..=4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..14) {
            0..3 => bytes[at] ^= 1 << random.random_range(0..8),
            3..5 => bytes[at] = *choice(random, &[0x00, 0x01, 0x7f, 0x80, 0xff, b'"', b'{', b',']),
            5 => bytes[at] = random.next_u32() as u8,
            6..8 => overwrite_number(bytes, at, random),
            8 => bytes.truncate(at),
            9 => drop(bytes.drain(range(random, bytes.len(), 64))),
            10 => {
                let part = bytes[range(random, bytes.len(), 64)].to_vec();
                bytes.splice(at..at, part);
            }
            11 => {
                let run = vec![random.next_u32() as u8; random.random_range(1..=64)];
                bytes.splice(at..at, run);
            }
            12 => {
                let other = choice(random, others);
                bytes.truncate(at);
                bytes.extend(&other[at.min(other.len())..]);
            }
            _ if random.random_range(0..16) == 0 => {
                bytes.resize(bytes.len() + random.random_range(1..=MAX_GROWTH_BYTES), 0);
            }
            _ => {
                let to = random.random_range(0..bytes.len());
                bytes.swap(at, to);
            }
        }
    }
}

/// Overwrites two, four or eight bytes with a number in either byte order.
fn overwrite_number(bytes: &mut [u8], at: usize, random: &mut impl Rng) {
    let length = *choice(random, &[2, 4, 8]);
    let Some(target) = bytes.get_mut(at..at + length) else { return };
    target.copy_from_slice(&integer(random).to_le_bytes()[..length]);
    if random.random_bool(0.25) {
        target.reverse();
    }
}
