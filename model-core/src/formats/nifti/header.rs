//! The header of NIfTI-1 and NIfTI-2, checked field by field before anything is made of it.

use std::io::Read;

use nifti::NiftiHeader;

use super::geometry::StoredTransforms;
use super::reader::{Format, unreadable};
use crate::{Error, Grid, Result, formats::file_kind};

/// What a header says, as far as it is used.
pub(super) struct Header {
    pub grid: Grid,
    pub format: Format,
    /// Volumes in the file, one behind the other.
    pub num_channels: usize,
    pub datatype: Datatype,
    pub big_endian: bool,
    /// Where the first voxel stands.
    pub voxel_offset: u64,
    /// How far the voxels' source was read to get this header: not at all in a pair.
    pub bytes_read: u64,
    /// `scl_slope` and `scl_inter`, where they change anything.
    pub scale: Option<(f64, f64)>,
    /// A sentence for each field that is damaged and needless.
    pub warnings: Vec<String>,
}

impl Header {
    /// Voxels of all channels; [`read`] made sure that this is no overflow.
    pub fn num_values(&self) -> u64 {
        self.grid.num_voxels() as u64 * self.num_channels as u64
    }
}

/// The voxel types that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Datatype {
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Datatype {
    /// From NIfTI's code, or the name of what is not read.
    fn from_code(code: i16) -> Result<Self, String> {
        Ok(match code {
            2 => Datatype::U8,
            4 => Datatype::I16,
            8 => Datatype::I32,
            16 => Datatype::F32,
            64 => Datatype::F64,
            256 => Datatype::I8,
            512 => Datatype::U16,
            768 => Datatype::U32,
            1024 => Datatype::I64,
            1280 => Datatype::U64,
            1 => return Err("single bits (code 1)".into()),
            32 => return Err("complex numbers (code 32)".into()),
            128 => return Err("RGB colors (code 128)".into()),
            1536 => return Err("128-bit floats (code 1536)".into()),
            1792 => return Err("complex numbers (code 1792)".into()),
            2048 => return Err("complex numbers (code 2048)".into()),
            2304 => return Err("RGBA colors (code 2304)".into()),
            other => return Err(format!("code {other}")),
        })
    }

    /// Bytes of one voxel.
    pub fn size(self) -> usize {
        match self {
            Datatype::U8 | Datatype::I8 => 1,
            Datatype::I16 | Datatype::U16 => 2,
            Datatype::I32 | Datatype::U32 | Datatype::F32 => 4,
            Datatype::I64 | Datatype::U64 | Datatype::F64 => 8,
        }
    }
}

/// Numbers at given places of a NIfTI-2 header, in its byte order. Every place used is inside.
struct Fields {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Fields {
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

/// The fields of either version, unchecked.
struct Raw {
    format: Format,
    dim: [i64; 8],
    datatype: i16,
    bitpix: i16,
    voxel_offset: f64,
    slope: f64,
    intercept: f64,
    forms: StoredTransforms,
}

/// Above every scan with channels; a volume has a cost even where its voxels are few.
const MAX_CHANNELS: u64 = 1024;

const NIFTI1_BYTES: usize = 348;
const NIFTI2_BYTES: usize = 540;

/// NIfTI-2's magic guards against text-mode transfer, as PNG's does.
const NIFTI2_MAGIC: &[u8] = b"n+2\0\r\n\x1a\n";
const NIFTI2_PAIR_MAGIC: &[u8] = b"ni2\0\r\n\x1a\n";

/// Reads and checks a header; `in_pair` says that the voxels are in a file of their own.
pub(super) fn read(mut source: &mut dyn Read, in_pair: bool) -> Result<Header> {
    let mut bytes = Vec::new();
    let mut extend_to = |bytes: &mut Vec<u8>, length: usize| {
        let wanted = (length - bytes.len()) as u64;
        Read::by_ref(&mut source).take(wanted).read_to_end(bytes).map_err(unreadable)?;
        match bytes.len() == length {
            true => Ok(()),
            false => {
                let found = found(bytes, format!("{} bytes", bytes.len()));
                Err(Error::nifti(format!("a header of {length} bytes"), found))
            }
        }
    };
    extend_to(&mut bytes, NIFTI1_BYTES)?;
    let size: [u8; 4] = bytes[..4].try_into().expect("four bytes");
    let (little, big) = (i32::from_le_bytes(size), i32::from_be_bytes(size));
    let raw = match (little, big) {
        (348, _) | (_, 348) if in_pair && !has_signature(&bytes) => analyze(&bytes)?,
        (348, _) | (_, 348) => nifti1(&bytes, in_pair)?,
        (540, _) | (_, 540) => {
            extend_to(&mut bytes, NIFTI2_BYTES)?;
            nifti2(&Fields { bytes, big_endian: big == 540 }, in_pair)?
        }
        _ => {
            let found = found(&bytes, little);
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

/// What stands in a header's place: another kind of file by its name, else what the header says.
fn found(bytes: &[u8], header: impl ToString) -> String {
    file_kind(bytes).map_or_else(|| header.to_string(), String::from)
}

/// Whether this is NIfTI-1: Analyze has a voxel's value there.
fn has_signature(bytes: &[u8]) -> bool {
    matches!(&bytes[344..348], b"n+1\0" | b"ni1\0")
}

/// The header of a single file where that of a pair belongs, or the other way round.
fn misplaced(in_pair: bool) -> Error {
    match in_pair {
        true => Error::nifti("the header of a .hdr/.img pair", "that of a scan in one file"),
        false => {
            let found = "the header of a .hdr/.img pair: convert the pair to one .nii file";
            Error::nifti("header and voxels in one file", found)
        }
    }
}

/// Analyze 7.5 as NIfTI-1, which has kept the places of the sizes, the spacing and the type, and
/// has put its own statements over Analyze's: those are taken as empty. SPM's scale and its types
/// of 8, 16 and 32 bits are known; whether x runs to the left is not stated, and not guessed.
fn analyze(bytes: &[u8]) -> Result<Raw> {
    let mut bytes = bytes.to_vec();
    bytes[116..NIFTI1_BYTES].fill(0);
    bytes[344..348].copy_from_slice(b"ni1\0");
    let raw = nifti1(&bytes, true)?;
    let datatype = match raw.datatype {
        130 => 256,
        132 => 512,
        136 => 768,
        code => code,
    };
    let slope = if raw.slope.is_finite() { raw.slope } else { 0.0 };
    let forms = StoredTransforms { units: 2, ..raw.forms }; // millimetres
    Ok(Raw { format: Format::Analyze, datatype, slope, forms, ..raw })
}

/// By the `nifti` crate, which reads the fields; what they mean is checked here.
fn nifti1(bytes: &[u8], in_pair: bool) -> Result<Raw> {
    match &bytes[344..348] {
        // A pair's signature in a single file is harmless: its offset tells where the voxels are.
        b"ni1\0" => {}
        b"n+1\0" if !in_pair => {}
        b"n+1\0" => return Err(misplaced(in_pair)),
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
    // The crate tells the byte order by the number of axes; ours is told by the size field.
    if header.sizeof_hdr != NIFTI1_BYTES as i32 {
        return Err(Error::nifti("1 to 7 axes in the header's byte order", header.dim[0]));
    }
    // Without a place for voxels behind the header it is a pair's, whatever the file's name.
    if !in_pair && bytes[344..348] == *b"ni1\0" && header.vox_offset == 0.0 {
        return Err(misplaced(in_pair));
    }
    let numbers = |values: [f32; 3]| values.map(f64::from);
    Ok(Raw {
        format: Format::Nifti1,
        dim: header.dim.map(|extent| i64::from(extent as i16)),
        datatype: header.datatype,
        bitpix: header.bitpix,
        voxel_offset: header.vox_offset.into(),
        slope: header.scl_slope.into(),
        intercept: header.scl_inter.into(),
        forms: StoredTransforms {
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

fn nifti2(fields: &Fields, in_pair: bool) -> Result<Raw> {
    match &fields.bytes[4..12] {
        magic if magic == NIFTI2_PAIR_MAGIC && !in_pair && fields.i64(168) == 0 => {
            return Err(misplaced(in_pair));
        }
        magic if magic == NIFTI2_PAIR_MAGIC => {}
        magic if !in_pair && magic == NIFTI2_MAGIC => {}
        magic if magic == NIFTI2_MAGIC => return Err(misplaced(in_pair)),
        other => {
            let found = other.escape_ascii().to_string();
            return Err(Error::nifti("the signature n+2", found));
        }
    }
    let f64s = |at: usize, n: usize| fields.f64(at + 8 * n);
    Ok(Raw {
        format: Format::Nifti2,
        dim: std::array::from_fn(|n| fields.i64(16 + 8 * n)),
        datatype: fields.i16(12),
        bitpix: fields.i16(14),
        voxel_offset: fields.i64(168) as f64,
        slope: fields.f64(176),
        intercept: fields.f64(184),
        forms: StoredTransforms {
            qfac: fields.f64(104),
            spacing: std::array::from_fn(|n| f64s(112, n)),
            qform_code: fields.i32(344),
            quaternion: std::array::from_fn(|n| f64s(352, n)),
            offset: std::array::from_fn(|n| f64s(376, n)),
            sform_code: fields.i32(348),
            rows: std::array::from_fn(|r| std::array::from_fn(|n| f64s(400 + 32 * r, n))),
            units: fields.i32(500) as u8,
        },
    })
}

impl Raw {
    fn check(self, big_endian: bool, bytes_read: usize) -> Result<Header> {
        let (dims, num_channels) = self.dims()?;
        let mut warnings = Vec::new();
        let datatype = Datatype::from_code(self.datatype)
            .map_err(|found| Error::nifti("integers or floats of 8 to 64 bits", found))?;
        let bits = 8 * datatype.size();
        if i64::from(self.bitpix) != bits as i64 {
            warnings.push(format!(
                "The header states {} bits a voxel (bitpix) and a type of {bits} bits; the type \
                 is used.",
                self.bitpix
            ));
        }
        // Four bytes behind the header say whether extensions follow; a pair's voxels stand alone.
        let least = if bytes_read == 0 { 0.0 } else { bytes_read as f64 + 4.0 };
        let offset = self.voxel_offset.trunc();
        if !(offset >= least && offset < (1u64 << 40) as f64) {
            return Err(Error::nifti(format!("voxels from byte {least} or later"), offset));
        }
        let scale = self.scale(&mut warnings);
        let (forms, world_from_voxel) = self.forms.read(dims)?;
        Ok(Header {
            grid: Grid { dims, world_from_voxel, forms },
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

    /// Voxels along i, j, k, and the number of channels.
    fn dims(&self) -> Result<([usize; 3], usize)> {
        let num_axes = self.dim[0];
        if !(2..=7).contains(&num_axes) {
            return Err(Error::nifti("2 to 7 axes", num_axes));
        }
        let mut stated = &self.dim[1..=num_axes as usize];
        // As ITK does: axes behind the last that has voxels are none, whatever stands there.
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
        // Three extents below 2^15 and one more: no overflow in u64.
        let found_bytes = extents[..3].iter().product::<u64>() * num_channels * 4;
        if found_bytes > super::MAX_VOXEL_BYTES {
            let limit_bytes = super::MAX_VOXEL_BYTES;
            return Err(Error::TooLarge { what: "the scan", limit_bytes, found_bytes });
        }
        let dims = std::array::from_fn(|axis| extents[axis] as usize);
        Ok((dims, num_channels as usize))
    }

    /// Slope and intercept where they change anything. A slope of 0 says that there are none, and
    /// so does one that is NaN or infinite (nibabel); such an intercept is 0 (ITK).
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
        let is_plain = slope == 0.0 || (slope == 1.0 && intercept == 0.0);
        if is_plain { None } else { Some((slope, intercept)) }
    }
}
