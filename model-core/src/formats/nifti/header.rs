//! Reads the headers of NIfTI-1, NIfTI-2 and Analyze 7.5, and checks every field before its use.

use std::io::Read;

use nifti::NiftiHeader;

use super::compression::read_error;
use super::datatype::from_code;
use super::geometry::HeaderTransforms;
use crate::formats::number_type::NumberType;
use crate::{Error, Grid, Result, formats::file_kind};

/// A scan's file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NIfTI-1, in one file or a pair.
    Nifti1,
    /// NIfTI-2, in one file or a pair.
    Nifti2,
    /// Analyze 7.5, always a pair. It does not state how the scan lies in space.
    Analyze,
}

/// The checked header fields that are needed to decode the voxels.
pub(super) struct Header {
    pub grid: Grid,
    pub format: Format,
    /// The number of volumes in the file, stored one after the other.
    pub num_channels: usize,
    pub datatype: NumberType,
    pub big_endian: bool,
    /// The offset of the first voxel in bytes.
    pub voxel_offset: u64,
    /// The bytes of the voxel file that the header took; 0 in a pair.
    pub bytes_read: u64,
    /// `scl_slope` and `scl_inter`; `None` if they change nothing.
    pub scale: Option<(f64, f64)>,
    /// A sentence for each damaged field that is not needed.
    pub warnings: Vec<String>,
}

impl Header {
    /// Returns the number of voxels in all channels; [`read`] checks that it does not overflow.
    pub fn num_values(&self) -> u64 {
        self.grid.num_voxels() as u64 * self.num_channels as u64
    }
}

/// Reads numbers at byte offsets of a NIfTI-2 header, in its byte order.
struct Nifti2Fields {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Nifti2Fields {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes: [u8; N] = self.bytes[at..at + N].try_into().expect("N bytes");
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.array(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.array(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.array(at))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.array(at))
    }
}

/// The header fields of any version, unchecked.
struct RawHeader {
    format: Format,
    dim: [i64; 8],
    datatype: i16,
    bitpix: i16,
    voxel_offset: f64,
    slope: f64,
    intercept: f64,
    transforms: HeaderTransforms,
}

/// The most channels of a scan. Every channel has a cost, even if it has few voxels.
const MAX_CHANNELS: u64 = 1024;

const NIFTI1_BYTES: usize = 348;
const NIFTI2_BYTES: usize = 540;

/// NIfTI-2's magic guards against text-mode transfer, as PNG's does.
const NIFTI2_MAGIC: &[u8] = b"n+2\0\r\n\x1a\n";
const NIFTI2_PAIR_MAGIC: &[u8] = b"ni2\0\r\n\x1a\n";

/// Reads and checks a header. With `in_pair` the voxels are in a file of their own.
pub(super) fn read(mut source: &mut dyn Read, in_pair: bool) -> Result<Header> {
    let mut bytes = Vec::new();
    let mut extend_to = |bytes: &mut Vec<u8>, length: usize| {
        let missing = (length - bytes.len()) as u64;
        Read::by_ref(&mut source).take(missing).read_to_end(bytes).map_err(read_error)?;
        match bytes.len() == length {
            true => Ok(()),
            false => {
                let found = kind_or(bytes, format!("{} bytes", bytes.len()));
                Err(Error::nifti(format!("a header of {length} bytes"), found))
            }
        }
    };
    extend_to(&mut bytes, NIFTI1_BYTES)?;
    let size: [u8; 4] = bytes[..4].try_into().expect("four bytes");
    let (little, big) = (i32::from_le_bytes(size), i32::from_be_bytes(size));
    let raw = match (little, big) {
        (348, _) | (_, 348) if in_pair && !has_signature(&bytes) => read_analyze(&bytes)?,
        (348, _) | (_, 348) => read_nifti1(&bytes, in_pair)?,
        (540, _) | (_, 540) => {
            extend_to(&mut bytes, NIFTI2_BYTES)?;
            read_nifti2(&Nifti2Fields { bytes, big_endian: big == 540 }, in_pair)?
        }
        _ => {
            let found = kind_or(&bytes, little);
            return Err(Error::nifti("a header that starts with its size, 348 or 540", found));
        }
    };
    let big_endian = big == 348 || big == 540;
    let bytes_read = match (in_pair, raw.format) {
        (true, _) => 0,
        (false, Format::Nifti2) => NIFTI2_BYTES,
        (false, _) => NIFTI1_BYTES,
    };
    raw.check(big_endian, bytes_read)
}

/// Returns the kind of the file that was given instead of a scan, or `otherwise` if it is unknown.
fn kind_or(bytes: &[u8], otherwise: impl ToString) -> String {
    file_kind(bytes).map_or_else(|| otherwise.to_string(), String::from)
}

/// Returns whether the header has NIfTI-1's signature. Analyze stores a voxel's value there.
fn has_signature(bytes: &[u8]) -> bool {
    matches!(&bytes[344..348], b"n+1\0" | b"ni1\0")
}

/// Returns the error of a single file's header in a pair, or of a pair's header in a single file.
fn wrong_header_kind(in_pair: bool) -> Error {
    match in_pair {
        true => Error::nifti("the header of a .hdr/.img pair", "that of a scan in one file"),
        false => {
            let found = "the header of a .hdr/.img pair: convert the pair to one .nii file";
            Error::nifti("header and voxels in one file", found)
        }
    }
}

/// Reads an Analyze 7.5 header as NIfTI-1.
///
/// NIfTI-1 stores the sizes, the spacing and the type where Analyze does. NIfTI-1's other fields
/// overlap with Analyze's and are taken as empty. SPM's scale and its types of 8, 16 and 32 bits are
/// supported. Analyze does not state whether x points to the left, and the reader does not guess.
fn read_analyze(bytes: &[u8]) -> Result<RawHeader> {
    let mut bytes = bytes.to_vec();
    bytes[116..NIFTI1_BYTES].fill(0);
    bytes[344..348].copy_from_slice(b"ni1\0");
    let raw = read_nifti1(&bytes, true)?;
    let datatype = match raw.datatype {
        130 => 256,
        132 => 512,
        136 => 768,
        code => code,
    };
    let slope = if raw.slope.is_finite() { raw.slope } else { 0.0 };
    let transforms = HeaderTransforms { units: 2, ..raw.transforms }; // millimeters
    Ok(RawHeader { format: Format::Analyze, datatype, slope, transforms, ..raw })
}

/// Reads a NIfTI-1 header with the `nifti` crate, and checks the meaning of its fields.
fn read_nifti1(bytes: &[u8], in_pair: bool) -> Result<RawHeader> {
    match &bytes[344..348] {
        // A pair's signature in a single file is harmless: the offset locates the voxels.
        b"ni1\0" => {}
        b"n+1\0" if !in_pair => {}
        b"n+1\0" => return Err(wrong_header_kind(in_pair)),
        [0, 0, 0, 0] => {
            let found = "none (an Analyze 7.5 header?): convert the scan to one .nii file";
            return Err(Error::nifti("the signature n+1", found));
        }
        other => {
            let found = other.escape_ascii().to_string();
            return Err(Error::nifti("the signature n+1", found));
        }
    }
    let header =
        NiftiHeader::from_reader(bytes).map_err(|error| Error::nifti("a NIfTI-1 header", error))?;
    // The crate takes the byte order from the number of axes, this reader from the size field.
    if header.sizeof_hdr != NIFTI1_BYTES as i32 {
        return Err(Error::nifti("1 to 7 axes in the header's byte order", header.dim[0]));
    }
    // A header without an offset of voxels in the same file belongs to a pair, whatever its name.
    if !in_pair && bytes[344..348] == *b"ni1\0" && header.vox_offset == 0.0 {
        return Err(wrong_header_kind(in_pair));
    }
    let numbers = |values: [f32; 3]| values.map(f64::from);
    Ok(RawHeader {
        format: Format::Nifti1,
        dim: header.dim.map(|extent| i64::from(extent as i16)),
        datatype: header.datatype,
        bitpix: header.bitpix,
        voxel_offset: header.vox_offset.into(),
        slope: header.scl_slope.into(),
        intercept: header.scl_inter.into(),
        transforms: HeaderTransforms {
            qfac: header.pixdim[0].into(),
            spacing: numbers([header.pixdim[1], header.pixdim[2], header.pixdim[3]]),
            qform_code: header.qform_code.into(),
            quaternion: numbers([header.quatern_b, header.quatern_c, header.quatern_d]),
            offset: numbers([header.quatern_x, header.quatern_y, header.quatern_z]),
            sform_code: header.sform_code.into(),
            rows: [header.srow_x, header.srow_y, header.srow_z].map(|row| row.map(f64::from)),
            units: header.xyzt_units,
        },
    })
}

/// Reads a NIfTI-2 header.
fn read_nifti2(fields: &Nifti2Fields, in_pair: bool) -> Result<RawHeader> {
    match &fields.bytes[4..12] {
        magic if magic == NIFTI2_PAIR_MAGIC && !in_pair && fields.i64(168) == 0 => {
            return Err(wrong_header_kind(in_pair));
        }
        magic if magic == NIFTI2_PAIR_MAGIC => {}
        magic if !in_pair && magic == NIFTI2_MAGIC => {}
        magic if magic == NIFTI2_MAGIC => return Err(wrong_header_kind(in_pair)),
        other => {
            let found = other.escape_ascii().to_string();
            return Err(Error::nifti("the signature n+2", found));
        }
    }
    let element = |at: usize, n: usize| fields.f64(at + 8 * n);
    Ok(RawHeader {
        format: Format::Nifti2,
        dim: std::array::from_fn(|n| fields.i64(16 + 8 * n)),
        datatype: fields.i16(12),
        bitpix: fields.i16(14),
        voxel_offset: fields.i64(168) as f64,
        slope: fields.f64(176),
        intercept: fields.f64(184),
        transforms: HeaderTransforms {
            qfac: fields.f64(104),
            spacing: std::array::from_fn(|n| element(112, n)),
            qform_code: fields.i32(344),
            quaternion: std::array::from_fn(|n| element(352, n)),
            offset: std::array::from_fn(|n| element(376, n)),
            sform_code: fields.i32(348),
            rows: std::array::from_fn(|r| std::array::from_fn(|n| element(400 + 32 * r, n))),
            units: fields.i32(500) as u8,
        },
    })
}

impl RawHeader {
    /// Checks every field.
    fn check(self, big_endian: bool, bytes_read: usize) -> Result<Header> {
        let (dims, num_channels) = self.dims()?;
        let mut warnings = Vec::new();
        let datatype = from_code(self.datatype)
            .map_err(|found| Error::nifti("integers or floats of 8 to 64 bits", found))?;
        let bits = 8 * datatype.size();
        if i64::from(self.bitpix) != bits as i64 {
            warnings.push(format!(
                "The header states {} bits a voxel (bitpix) and a type of {bits} bits; the type \
                 is used.",
                self.bitpix
            ));
        }
        // Four bytes after the header state whether extensions follow. A pair has none there.
        let min_offset = if bytes_read == 0 { 0.0 } else { bytes_read as f64 + 4.0 };
        let offset = self.voxel_offset.trunc();
        if !(offset >= min_offset && offset < (1u64 << 40) as f64) {
            return Err(Error::nifti(format!("voxels from byte {min_offset} or later"), offset));
        }
        let scale = self.scale(&mut warnings);
        let (transforms, world_from_voxel) = self.transforms.resolve(dims)?;
        Ok(Header {
            grid: Grid { dims, world_from_voxel, transforms },
            format: self.format,
            num_channels,
            datatype,
            big_endian,
            voxel_offset: offset as u64,
            bytes_read: bytes_read as u64,
            scale,
            warnings,
        })
    }

    /// Returns the voxels along i, j, k, and the number of channels.
    fn dims(&self) -> Result<([usize; 3], usize)> {
        let num_axes = self.dim[0];
        if !(2..=7).contains(&num_axes) {
            return Err(Error::nifti("2 to 7 axes", num_axes));
        }
        let mut stated = &self.dim[1..=num_axes as usize];
        // Axes after the last one with voxels are ignored, whatever their size states, as in ITK.
        while let [first @ .., last] = stated
            && first.len() >= 2
            && *last <= 0
        {
            stated = first;
        }
        let mut extents = [1u64; 7];
        for (extent, &dim) in extents.iter_mut().zip(stated) {
            if !(1..=i64::from(i16::MAX)).contains(&dim) {
                let found = format!("{:?}", &self.dim[1..=num_axes as usize]);
                return Err(Error::nifti("axes of 1 to 32767 voxels", found));
            }
            *extent = dim as u64;
        }
        let further = &extents[3..];
        if further.iter().filter(|&&extent| extent > 1).count() > 1 {
            let found = format!("{:?}", &extents[..num_axes as usize]);
            return Err(Error::nifti("three axes and one of channels", found));
        }
        let num_channels: u64 = further.iter().product();
        if num_channels > MAX_CHANNELS {
            return Err(Error::nifti(format!("at most {MAX_CHANNELS} channels"), num_channels));
        }
        // Three extents below 2^15 and the number of channels do not overflow u64.
        let found_bytes = extents[..3].iter().product::<u64>() * num_channels * 4;
        if found_bytes > super::MAX_VOXEL_BYTES {
            let limit_bytes = super::MAX_VOXEL_BYTES;
            return Err(Error::TooLarge { what: "the scan", limit_bytes, found_bytes });
        }
        let dims = std::array::from_fn(|axis| extents[axis] as usize);
        Ok((dims, num_channels as usize))
    }

    /// Returns slope and intercept, or `None` if they change nothing. A slope of 0 means that there
    /// is no scale; so does NaN or infinity, as in nibabel. Such an intercept is 0, as in ITK.
    fn scale(&self, warnings: &mut Vec<String>) -> Option<(f64, f64)> {
        let (slope, mut intercept) = (self.slope, self.intercept);
        if !slope.is_finite() {
            warnings.push(format!("The header's scl_slope is {slope}; voxels are not scaled."));
            return None;
        }
        if slope != 0.0 && !intercept.is_finite() {
            warnings.push(format!("The header's scl_inter is {intercept}, and taken as 0."));
            intercept = 0.0;
        }
        let is_identity = slope == 0.0 || (slope == 1.0 && intercept == 0.0);
        if is_identity { None } else { Some((slope, intercept)) }
    }
}
