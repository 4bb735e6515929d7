//! A scan whose header has been read and checked; its voxels follow when they are asked for.

use std::io::Read;

use flate2::bufread::GzDecoder;

use super::header::{self, Datatype, Header};
use super::{voxels, warnings};
use crate::{Error, Grid, LabelMap, Result, Volume};

/// A deflate stream cannot expand more than 1032 times (RFC 1951: 258 bytes from two bits).
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Bytes behind the voxels mean nothing (some writers fill up a block). A compressed file is read
/// this far on, so that a damaged checksum at its end is seen.
const MAX_TRAILING_BYTES: u64 = 1 << 20;

/// How far a stored label may be from a whole number: some writers scale labels by a slope such as
/// 0.0039215687, and get 0.99999997 for 1.
const LABEL_TOLERANCE: f64 = 1e-3;

/// Which form a scan is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NIfTI-1, in one file or a pair.
    Nifti1,
    /// NIfTI-2, in one file or a pair.
    Nifti2,
    /// Analyze 7.5, always a pair; it says nothing of how the scan lies in space.
    Analyze,
}

/// A scan's voxels as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// The channels.
    pub volumes: Vec<Volume>,
    /// For each channel the number of voxels that were NaN or infinite, and are 0 in `volumes`.
    pub num_non_finite: Vec<u64>,
}

/// A scan with its header read.
pub struct Reader<'a> {
    header: Header,
    source: Box<dyn Read + 'a>,
}

impl<'a> Reader<'a> {
    /// Reads the header of a scan in one file, compressed or not.
    ///
    /// # Errors
    /// [`Error::Nifti`], [`Error::Geometry`] or [`Error::TooLarge`].
    pub fn open(bytes: &'a [u8]) -> Result<Reader<'a>> {
        Reader::open_start(bytes, bytes.len() as u64)
    }

    /// As [`Reader::open`], of a file of `length` bytes that begins so, for what its header says:
    /// 64 KiB are enough of any usual file.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_start(bytes: &'a [u8], length: u64) -> Result<Reader<'a>> {
        let mut source = plain(bytes);
        let header = header::read(&mut source, false)?;
        Reader { header, source }.at_the_voxels(bytes, length)
    }

    /// Reads the header of a `.hdr`/`.img` pair, NIfTI or Analyze 7.5, each part compressed or not.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_pair(header: &[u8], voxels: &'a [u8]) -> Result<Reader<'a>> {
        Reader::open_pair_start(header, voxels, voxels.len() as u64)
    }

    /// As [`Reader::open_pair`], of voxels in a file of `length` bytes that begins so.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_pair_start(header: &[u8], voxels: &'a [u8], length: u64) -> Result<Reader<'a>> {
        let header = header::read(&mut plain(header), true)?;
        Reader { header, source: plain(voxels) }.at_the_voxels(voxels, length)
    }

    /// Refuses bytes that cannot hold the voxels, and goes to the first.
    fn at_the_voxels(mut self, bytes: &[u8], length: u64) -> Result<Reader<'a>> {
        let header = &self.header;
        let is_gzip = is_gzip(bytes);
        let most = if is_gzip { length.saturating_mul(MAX_DEFLATE_RATIO) } else { length };
        let needed = header.voxel_offset + header.num_values() * header.datatype.size() as u64;
        if needed > most {
            let found = match is_gzip {
                true => format!("{length} compressed bytes, which cannot hold them"),
                false => format!("{length}"),
            };
            return Err(Error::nifti(format!("{needed} bytes, as its header says"), found));
        }
        let gap = header.voxel_offset - header.bytes_read;
        let skipped = std::io::copy(&mut self.source.by_ref().take(gap), &mut std::io::sink());
        match skipped {
            Ok(count) if count == gap => Ok(self),
            Ok(count) => Err(Error::nifti(
                format!("voxels from byte {}", header.voxel_offset),
                header.bytes_read + count,
            )),
            Err(e) => Err(unreadable(e)),
        }
    }

    /// Where the voxels lie.
    pub fn grid(&self) -> &Grid {
        &self.header.grid
    }

    /// Volumes in the file.
    pub fn num_channels(&self) -> usize {
        self.header.num_channels
    }

    /// The form that the scan is stored in.
    pub fn format(&self) -> Format {
        self.header.format
    }

    /// What a user should know about the file, a sentence each: damaged fields that are needless,
    /// and what [`warnings`] finds in its geometry.
    pub fn warnings(&self) -> Vec<String> {
        let header = self.header.warnings.iter().cloned();
        header.chain(warnings(&self.header.grid.forms)).collect()
    }

    /// Whether voxels are stored as floats.
    pub fn is_float(&self) -> bool {
        matches!(self.header.datatype, Datatype::F32 | Datatype::F64)
    }

    /// What [`Reader::scan`] will take in memory.
    pub fn decoded_bytes(&self) -> u64 {
        self.header.num_values() * size_of::<f32>() as u64
    }

    /// The channels: one for a 3-D file, one for each step of the fourth axis of a 4-D file (or of
    /// the fifth, where the fourth is 1).
    ///
    /// # Errors
    /// [`Error::Nifti`] when voxels are missing or damaged; [`Error::TooLarge`].
    pub fn scan(mut self) -> Result<Scan> {
        let (mut volumes, mut num_non_finite) = (Vec::new(), Vec::new());
        for _ in 0..self.header.num_channels {
            let (mut voxels, mut count) = (Vec::new(), 0);
            voxels::decode(&self.header, &mut self.source, &mut voxels, |value| {
                let voxel = value as f32;
                match voxel.is_finite() {
                    true => Ok(voxel),
                    false if value.is_finite() => {
                        Err(Error::nifti("voxels that fit 32-bit floats", format!("{value:e}")))
                    }
                    false => {
                        count += 1;
                        Ok(0.0)
                    }
                }
            })?;
            volumes.push(Volume::new(self.header.grid.clone(), voxels)?);
            num_non_finite.push(count);
        }
        self.finish()?;
        Ok(Scan { volumes, num_non_finite })
    }

    /// As [`Reader::scan`], in the order of a grid that the file's has to be within
    /// `tolerance_voxels` (see [`Grid::align`]), with what a user should know about the file, a
    /// sentence each.
    ///
    /// # Errors
    /// [`Error::Geometry`] before a voxel is decoded; else as [`Reader::scan`].
    pub fn scan_on(self, grid: &Grid, tolerance_voxels: f64) -> Result<(Scan, Vec<String>)> {
        let alignment = grid.align(self.grid(), tolerance_voxels)?;
        let warnings = self.warnings().into_iter().chain(alignment.warning()).collect();
        let Scan { volumes, num_non_finite } = self.scan()?;
        let reordered =
            |volume: Volume| Volume::new(grid.clone(), alignment.reorder(volume.into_values()));
        let volumes = volumes.into_iter().map(reordered).collect::<Result<_>>()?;
        Ok((Scan { volumes, num_non_finite }, warnings))
    }

    /// As [`Reader::labels`], in the order of a grid that the file's has to be within
    /// `tolerance_voxels` (see [`Grid::align`]), with what a user should know about the file, a
    /// sentence each.
    ///
    /// # Errors
    /// [`Error::Geometry`] before a voxel is decoded; else as [`Reader::labels`].
    pub fn labels_on(self, grid: &Grid, tolerance_voxels: f64) -> Result<(LabelMap, Vec<String>)> {
        let alignment = grid.align(self.grid(), tolerance_voxels)?;
        let warnings = self.warnings().into_iter().chain(alignment.warning()).collect();
        let labels = alignment.reorder(self.labels()?.into_labels());
        Ok((LabelMap::new(grid.clone(), labels)?, warnings))
    }

    /// The labels of a segmentation: a 3-D file of whole numbers from 0 to 255, of whatever type.
    ///
    /// # Errors
    /// [`Error::Labels`], listing values that are no labels; else as [`Reader::scan`].
    pub fn labels(mut self) -> Result<LabelMap> {
        if self.header.num_channels != 1 {
            return Err(Error::nifti("one label a voxel", format!("{}", self.header.num_channels)));
        }
        let mut wrong: Vec<f64> = Vec::new();
        let mut labels = Vec::new();
        voxels::decode(&self.header, &mut self.source, &mut labels, |value| {
            let label = value.round();
            if (value - label).abs() <= LABEL_TOLERANCE && (0.0..=255.0).contains(&label) {
                return Ok(label as u8);
            }
            if wrong.len() < 8 && !wrong.iter().any(|w| w.to_bits() == value.to_bits()) {
                wrong.push(value);
            }
            Ok(0)
        })?;
        let grid = self.header.grid.clone();
        self.finish()?;
        match wrong.is_empty() {
            true => LabelMap::new(grid, labels),
            false => Err(Error::labels("whole numbers from 0 to 255", format!("{wrong:?}"))),
        }
    }

    /// Reads on to the end, so that a damaged checksum is seen.
    fn finish(self) -> Result<()> {
        let mut rest = self.source.take(MAX_TRAILING_BYTES);
        std::io::copy(&mut rest, &mut std::io::sink()).map_err(unreadable)?;
        Ok(())
    }
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The bytes without compression, told by their first two.
fn plain(bytes: &[u8]) -> Box<dyn Read + '_> {
    match is_gzip(bytes) {
        true => Box::new(Members { current: GzDecoder::new(bytes) }),
        false => Box::new(bytes),
    }
}

/// The members of a gzip stream, one behind the other, up to bytes that begin none: zeros that fill
/// a block, or text, are passed over as zlib passes them over.
struct Members<'a> {
    current: GzDecoder<&'a [u8]>,
}

impl Read for Members<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let count = self.current.read(out)?;
            let rest = *self.current.get_ref();
            if count > 0 || out.is_empty() || !is_gzip(rest) {
                return Ok(count);
            }
            self.current = GzDecoder::new(rest);
        }
    }
}

pub(super) fn unreadable(error: std::io::Error) -> Error {
    Error::nifti("undamaged compressed data", error)
}
