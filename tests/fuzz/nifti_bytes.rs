//! Small scans as bytes, in every supported format, and random changes of their header fields.

use std::io::Write;
use std::slice::from_ref;

use flate2::{Compression, write::GzEncoder};
use rand::{Rng, RngExt};

use super::mutation::{self, choice, float, integer};

/// The format of a header.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Nifti1,
    Nifti2,
    Analyze,
}

/// The bytes of a scan: header and voxels.
#[derive(Clone)]
pub(super) struct Scan {
    format: Format,
    is_big_endian: bool,
    is_pair: bool,
    pub header: Vec<u8>,
    pub voxels: Vec<u8>,
}

/// The position, size and type of a number in a header.
#[derive(Clone, Copy)]
enum Field {
    Integer { at: usize, size: usize },
    Float { at: usize, size: usize },
}

/// The codes of voxel types and their bits.
const TYPES: [(i64, i64); 10] = [
    (2, 8),
    (4, 16),
    (8, 32),
    (16, 32),
    (64, 64),
    (256, 8),
    (512, 16),
    (768, 32),
    (1024, 64),
    (1280, 64),
];

/// Returns scans of 5 × 4 × 3 voxels with one or two channels, in every format and voxel type.
pub(super) fn seeds(is_pair: bool) -> Vec<Scan> {
    let mut seeds = Vec::new();
    for (datatype, bits) in TYPES {
        for is_big_endian in [false, true] {
            for format in [Format::Nifti1, Format::Nifti2, Format::Analyze] {
                if is_pair || format != Format::Analyze {
                    for channels in [1, 2] {
                        let empty = Scan {
                            format,
                            is_big_endian,
                            is_pair,
                            header: Vec::new(),
                            voxels: Vec::new(),
                        };
                        seeds.push(empty.filled(datatype, bits, channels));
                    }
                }
            }
        }
    }
    seeds
}

impl Scan {
    fn filled(mut self, datatype: i64, bits: i64, channels: i64) -> Scan {
        let is_nifti2 = self.format == Format::Nifti2;
        self.header = vec![0; if is_nifti2 { 540 } else { 348 }];
        self.put_integer(0, 4, self.header.len() as i64);
        let (dim, dim_size) = if is_nifti2 { (16, 8) } else { (40, 2) };
        let dims = [if channels > 1 { 4 } else { 3 }, 5, 4, 3, channels, 1, 1, 1];
        dims.iter()
            .enumerate()
            .for_each(|(n, &d)| self.put_integer(dim + n * dim_size, dim_size, d));
        let (type_at, pixdim, size) = if is_nifti2 { (12, 104, 8) } else { (70, 76, 4) };
        self.put_integer(type_at, 2, datatype);
        self.put_integer(type_at + 2, 2, bits);
        [1.0, 1.0, 2.0, 3.0].iter().enumerate().for_each(|(n, &mm)| {
            self.put_float(pixdim + n * size, size, mm);
        });
        if self.format != Format::Analyze {
            let (slope, sform_code, rows) =
                if is_nifti2 { (176, 348, 400) } else { (112, 254, 280) };
            self.put_float(slope, size, 1.0);
            self.put_integer(sform_code, if is_nifti2 { 4 } else { 2 }, 1);
            [(0, 1.0), (3, -5.0), (5, 2.0), (10, 3.0)].iter().for_each(|&(n, value)| {
                self.put_float(rows + n * size, size, value);
            });
            self.write_signature();
        }
        if !self.is_pair {
            // Four zero bytes: no extension follows.
            self.header.extend([0; 4]);
        }
        let count = 60 * channels as usize;
        let mut voxel = vec![0; bits as usize / 8];
        let units = if self.is_big_endian { voxel.len() - 1 } else { 0 };
        voxel[units] = 1;
        self.voxels = voxel.repeat(count);
        self
    }

    /// Writes the signature and the offset of the voxels.
    fn write_signature(&mut self) {
        let (magic, at): (&[u8], usize) = match (self.format, self.is_pair) {
            (Format::Nifti2, false) => (b"n+2\0\r\n\x1a\n", 4),
            (Format::Nifti2, true) => (b"ni2\0\r\n\x1a\n", 4),
            (_, false) => (b"n+1\0", 344),
            (_, true) => (b"ni1\0", 344),
        };
        self.header[at..at + magic.len()].copy_from_slice(magic);
        match (self.format, self.is_pair) {
            (_, true) => {}
            (Format::Nifti2, _) => self.put_integer(168, 8, 544),
            _ => self.put_float(108, 4, 352.0),
        }
    }

    fn put_integer(&mut self, at: usize, size: usize, value: i64) {
        self.put(at, &value.to_le_bytes()[..size]);
    }

    fn put_float(&mut self, at: usize, size: usize, value: f64) {
        match size {
            4 => self.put(at, &(value as f32).to_le_bytes()),
            _ => self.put(at, &value.to_le_bytes()),
        }
    }

    fn put(&mut self, at: usize, little_endian: &[u8]) {
        let target = &mut self.header[at..at + little_endian.len()];
        target.copy_from_slice(little_endian);
        if self.is_big_endian {
            target.reverse();
        }
    }

    /// Sets one to three fields to values that a reader may not expect.
    fn change_fields(&mut self, random: &mut impl Rng) {
        for _ in 0..random.random_range(1..=3) {
            match field(self.format, random) {
                Field::Integer { at, size } => self.put_integer(at, size, integer(random)),
                Field::Float { at, size } => self.put_float(at, size, float(random)),
            }
        }
    }

    /// Changes the size of the grid, and usually also the number of voxels.
    fn change_size(&mut self, random: &mut impl Rng) {
        let (dim, size) = if self.format == Format::Nifti2 { (16, 8) } else { (40, 2) };
        let dims: [i64; 3] = std::array::from_fn(|_| random.random_range(1..=40));
        dims.iter().enumerate().for_each(|(n, &d)| self.put_integer(dim + (n + 1) * size, size, d));
        if random.random_bool(0.75) {
            let voxel_bytes = self.voxels.len() / 60;
            let count = dims.iter().product::<i64>() as usize;
            self.voxels.resize(count * voxel_bytes, 0);
        }
    }

    /// Changes the fields or the size, and sometimes the bytes.
    pub(super) fn change(&mut self, other: &Scan, random: &mut impl Rng) {
        match random.random_range(0..8) {
            0 => self.change_size(random),
            1 => {}
            _ => self.change_fields(random),
        }
        match random.random_range(0..8) {
            0 => mutation::change(&mut self.header, from_ref(&other.header), random),
            1 => mutation::change(&mut self.voxels, from_ref(&other.voxels), random),
            _ => {}
        }
    }
}

/// The position, size and count of consecutive fields.
type Fields = &'static [(usize, usize, usize)];

/// Returns a random field of a header.
fn field(format: Format, random: &mut impl Rng) -> Field {
    let (integers, floats): (Fields, Fields) = match format {
        Format::Nifti2 => (
            &[(16, 8, 8), (12, 2, 2), (168, 8, 1), (344, 4, 2), (500, 4, 1)],
            &[(104, 8, 8), (176, 8, 2), (352, 8, 6), (400, 8, 12)],
        ),
        _ => (
            &[(40, 2, 8), (70, 2, 2), (123, 1, 1), (252, 2, 2)],
            &[(76, 4, 8), (108, 4, 3), (256, 4, 6), (280, 4, 12)],
        ),
    };
    let fields = if random.random_bool(0.5) { integers } else { floats };
    let (at, size, count) = *choice(random, fields);
    let is_float = floats.contains(&(at, size, count));
    let at = at + size * random.random_range(0..count);
    match is_float {
        true => Field::Float { at, size },
        false => Field::Integer { at, size },
    }
}

/// Returns the bytes as a gzip file.
pub(super) fn gzip(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
