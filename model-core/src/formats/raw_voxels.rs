//! Voxels that follow a header of their own: of NRRD and MGH.

use std::io::Read;

use super::nifti::MAX_VOXEL_BYTES;
use super::nifti::compression::{decompressed, is_gzip};
use super::number_type::NumberType;
use crate::{Affine, Error, Grid, Result, Volume, formats::nifti::Scan};

/// The largest expansion of a deflate stream (RFC 1951: 258 bytes from two bits).
const MAX_DEFLATE_RATIO: u64 = 1032;

/// The most channels of a scan.
const MAX_CHANNELS: usize = 1024;

/// A checked header.
#[derive(Debug)]
pub struct RawScan {
    /// The format's name in errors.
    pub format: &'static str,
    pub dims: [usize; 3],
    pub world_from_voxel: Affine,
    pub num_channels: usize,
    /// The place of the channels among the axes: 0 if they are the fastest, 3 if the slowest.
    pub channel_axis: usize,
    pub number_type: NumberType,
    pub big_endian: bool,
    pub warnings: Vec<String>,
}

impl RawScan {
    /// Errors if the sizes are impossible, or if `length` bytes cannot hold the voxels.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Geometry`] or [`Error::TooLarge`].
    pub fn check(self, length: usize, is_gzip: bool) -> Result<RawScan> {
        if self.dims.iter().any(|n| !(1..=32767).contains(n)) {
            let found = format!("{:?}", self.dims);
            return Err(Error::format(self.format, "axes of 1 to 32767 voxels", found));
        }
        if !(1..=MAX_CHANNELS).contains(&self.num_channels) {
            let expected = format!("1 to {MAX_CHANNELS} channels");
            return Err(Error::format(self.format, expected, self.num_channels));
        }
        self.world_from_voxel.check()?;
        let found_bytes = self.num_values() * 4;
        if found_bytes > MAX_VOXEL_BYTES {
            let limit_bytes = MAX_VOXEL_BYTES;
            return Err(Error::TooLarge { what: "the scan", limit_bytes, found_bytes });
        }
        let needed = self.num_values() * self.number_type.size() as u64;
        let ratio = if is_gzip { MAX_DEFLATE_RATIO } else { 1 };
        match needed > (length as u64).saturating_mul(ratio) {
            true => Err(Error::format(
                self.format,
                format!("{needed} bytes of voxels, as its header says"),
                length,
            )),
            false => Ok(self),
        }
    }

    fn num_values(&self) -> u64 {
        // Four factors of 15, 15, 15 and 10 bits.
        self.dims.iter().map(|&n| n as u64).product::<u64>() * self.num_channels as u64
    }

    pub fn grid(&self) -> Grid {
        Grid::new(self.dims, self.world_from_voxel)
    }

    /// Reads the voxels from `bytes`, after `skipped` bytes of what they unpack to.
    ///
    /// # Errors
    /// [`Error::Format`] if they are damaged or missing.
    pub fn read(&self, bytes: &[u8], skipped: u64) -> Result<Scan> {
        let size = self.number_type.size();
        let length = self.num_values() * size as u64;
        let mut source = decompressed(bytes);
        let damaged = |error| Error::format(self.format, "undamaged compressed data", error);
        let mut skip = source.by_ref().take(skipped);
        std::io::copy(&mut skip, &mut std::io::sink()).map_err(damaged)?;
        let mut cells = Vec::new();
        source.by_ref().take(length).read_to_end(&mut cells).map_err(damaged)?;
        if cells.len() as u64 != length {
            let found = format!("{} bytes", cells.len());
            return Err(Error::format(self.format, format!("{length} bytes of voxels"), found));
        }
        // The end of a gzip stream holds its checksum.
        if is_gzip(bytes) {
            std::io::copy(&mut source.take(1 << 20), &mut std::io::sink()).map_err(damaged)?;
        }
        let channels = (0..self.num_channels).map(|channel| self.channel(&cells, channel));
        let (volumes, num_non_finite) = channels.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok(Scan { volumes, num_non_finite })
    }

    /// Returns a channel, and the number of its voxels that are not finite.
    fn channel(&self, cells: &[u8], channel: usize) -> Result<(Volume, u64)> {
        let size = self.number_type.size();
        // The voxels between neighbors of one channel on the axes before it.
        let inner: usize = self.dims[..self.channel_axis].iter().product();
        let (mut values, mut num_non_finite) = (Vec::new(), 0);
        for voxel in 0..self.dims.iter().product() {
            let index = voxel % inner + inner * (channel + self.num_channels * (voxel / inner));
            let mut cell = [0; 8];
            let stored = &cells[index * size..(index + 1) * size];
            match self.big_endian {
                true => cell.iter_mut().zip(stored.iter().rev()).for_each(|(to, from)| *to = *from),
                false => cell[..size].copy_from_slice(stored),
            }
            let number = self.number_type.number(cell);
            let value = number as f32;
            if number.is_finite() && !value.is_finite() {
                let found = format!("{number:e}");
                return Err(Error::format(self.format, "voxels that fit 32-bit floats", found));
            }
            num_non_finite += u64::from(!value.is_finite());
            values.push(if value.is_finite() { value } else { 0.0 });
        }
        Ok((Volume::new(self.grid(), values)?, num_non_finite))
    }
}
