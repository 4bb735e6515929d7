//! Reads a scan in two steps: first its header, then its voxels.

use std::io::Read;

use super::compression::{decompressed, is_gzip, read_error};
use super::geometry::warnings;
use super::header::{self, Format, Header};
use super::voxels;
use crate::formats::number_type::NumberType;
use crate::{Error, Grid, LabelMap, Result, Volume};

/// The largest expansion of a deflate stream (RFC 1951: 258 bytes from two bits).
const MAX_DEFLATE_RATIO: u64 = 1032;

/// The bytes that are read after the voxels, so that a damaged checksum at the end of a compressed
/// file is noticed. The bytes themselves have no meaning: some writers fill up a block.
const MAX_TRAILING_BYTES: u64 = 1 << 20;

/// The largest difference of a stored label from a whole number. Some writers scale labels by a
/// slope such as 0.0039215687, and get 0.99999997 for 1.
const LABEL_TOLERANCE: f64 = 1e-3;

/// A scan's voxels as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// One volume for each channel.
    pub volumes: Vec<Volume>,
    /// For each channel, the number of voxels that were NaN or infinite. They are 0 in `volumes`.
    pub num_non_finite: Vec<u64>,
}

/// A scan whose header has been read and checked, and whose voxels have not.
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
        Reader::open_prefix(bytes, bytes.len() as u64)
    }

    /// Reads the header from the first bytes of a file of `file_length` bytes. The voxels cannot be
    /// read then. 64 KiB are enough for any usual header.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_prefix(bytes: &'a [u8], file_length: u64) -> Result<Reader<'a>> {
        let mut source = decompressed(bytes);
        let header = header::read(&mut source, false)?;
        Reader { header, source }.skip_to_voxels(bytes, file_length)
    }

    /// Reads the header of a `.hdr`/`.img` pair, NIfTI or Analyze 7.5, each file compressed or not.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_pair(header: &[u8], voxels: &'a [u8]) -> Result<Reader<'a>> {
        Reader::open_pair_prefix(header, voxels, voxels.len() as u64)
    }

    /// Reads the header of a pair whose voxel file has `file_length` bytes, of which the first are
    /// given. The voxels cannot be read then.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_pair_prefix(
        header: &[u8],
        voxels: &'a [u8],
        file_length: u64,
    ) -> Result<Reader<'a>> {
        let header = header::read(&mut decompressed(header), true)?;
        Reader { header, source: decompressed(voxels) }.skip_to_voxels(voxels, file_length)
    }

    /// Skips to the first voxel. Errors if a file of this length cannot hold all voxels.
    fn skip_to_voxels(mut self, bytes: &[u8], file_length: u64) -> Result<Reader<'a>> {
        let header = &self.header;
        let is_gzip = is_gzip(bytes);
        let max_bytes =
            if is_gzip { file_length.saturating_mul(MAX_DEFLATE_RATIO) } else { file_length };
        let needed = header.voxel_offset + header.num_values() * header.datatype.size() as u64;
        if needed > max_bytes {
            let found = match is_gzip {
                true => format!("{file_length} compressed bytes, which cannot hold them"),
                false => file_length.to_string(),
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
            Err(error) => Err(read_error(error)),
        }
    }

    /// Returns where the voxels lie.
    pub fn grid(&self) -> &Grid {
        &self.header.grid
    }

    /// Returns the number of channels in the file.
    pub fn num_channels(&self) -> usize {
        self.header.num_channels
    }

    /// Returns the file format.
    pub fn format(&self) -> Format {
        self.header.format
    }

    /// Returns sentences for the user about the file: damaged fields that are not needed, and the
    /// [`warnings`] about its geometry.
    pub fn warnings(&self) -> Vec<String> {
        let header = self.header.warnings.iter().cloned();
        header.chain(warnings(&self.header.grid.transforms)).collect()
    }

    /// Returns whether voxels are stored as floats.
    pub fn is_float(&self) -> bool {
        matches!(self.header.datatype, NumberType::F32 | NumberType::F64)
    }

    /// Returns the bytes of memory that [`Reader::scan`] will take.
    pub fn decoded_bytes(&self) -> u64 {
        self.header.num_values() * size_of::<f32>() as u64
    }

    /// Reads the channels: one from a 3-D file, and one for each step of the fourth axis of a 4-D
    /// file (or of the fifth, if the fourth is 1).
    ///
    /// # Errors
    /// [`Error::Nifti`] if voxels are missing or damaged; [`Error::TooLarge`].
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

    /// Reads the channels in the axis order of `grid`, together with sentences for the user about
    /// the file.
    ///
    /// # Errors
    /// [`Error::Geometry`], before a voxel is decoded, if the file's grid differs from `grid` by
    /// more than `tolerance_voxels` (see [`Grid::align`]); otherwise as [`Reader::scan`].
    pub fn scan_on(self, grid: &Grid, tolerance_voxels: f64) -> Result<(Scan, Vec<String>)> {
        let alignment = grid.align(self.grid(), tolerance_voxels)?;
        let warnings = self.warnings().into_iter().chain(alignment.warning()).collect();
        let Scan { volumes, num_non_finite } = self.scan()?;
        let reordered =
            |volume: Volume| Volume::new(grid.clone(), alignment.reorder(volume.into_values()));
        let volumes = volumes.into_iter().map(reordered).collect::<Result<_>>()?;
        Ok((Scan { volumes, num_non_finite }, warnings))
    }

    /// Reads the labels in the axis order of `grid`, together with sentences for the user about the
    /// file.
    ///
    /// # Errors
    /// [`Error::Geometry`], before a voxel is decoded, if the file's grid differs from `grid` by
    /// more than `tolerance_voxels` (see [`Grid::align`]); otherwise as [`Reader::labels`].
    pub fn labels_on(self, grid: &Grid, tolerance_voxels: f64) -> Result<(LabelMap, Vec<String>)> {
        let alignment = grid.align(self.grid(), tolerance_voxels)?;
        let warnings = self.warnings().into_iter().chain(alignment.warning()).collect();
        let labels = alignment.reorder(self.labels()?.into_labels());
        Ok((LabelMap::new(grid.clone(), labels)?, warnings))
    }

    /// Reads the labels of a segmentation: a 3-D file of whole numbers from 0 to 255, of any type.
    ///
    /// # Errors
    /// [`Error::Labels`], listing the values that are not labels; otherwise as [`Reader::scan`].
    pub fn labels(mut self) -> Result<LabelMap> {
        if self.header.num_channels != 1 {
            return Err(Error::nifti("one label a voxel", format!("{}", self.header.num_channels)));
        }
        let mut not_labels: Vec<f64> = Vec::new();
        let mut labels = Vec::new();
        voxels::decode(&self.header, &mut self.source, &mut labels, |value| {
            let label = value.round();
            if (value - label).abs() <= LABEL_TOLERANCE && (0.0..=255.0).contains(&label) {
                return Ok(label as u8);
            }
            if not_labels.len() < 8 && !not_labels.iter().any(|w| w.to_bits() == value.to_bits()) {
                not_labels.push(value);
            }
            Ok(0)
        })?;
        let grid = self.header.grid.clone();
        self.finish()?;
        match not_labels.is_empty() {
            true => LabelMap::new(grid, labels),
            false => Err(Error::labels("whole numbers from 0 to 255", format!("{not_labels:?}"))),
        }
    }

    /// Reads to the end of the file, so that a damaged checksum is noticed.
    fn finish(self) -> Result<()> {
        let mut rest = self.source.take(MAX_TRAILING_BYTES);
        std::io::copy(&mut rest, &mut std::io::sink()).map_err(read_error)?;
        Ok(())
    }
}
