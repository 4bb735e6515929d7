//! The voxel types of NIfTI.

/// A supported voxel type.
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
    /// Returns the type of NIfTI's code, or the name of an unsupported type as the error.
    pub fn from_code(code: i16) -> Result<Self, String> {
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

    /// Returns the bytes of one voxel.
    pub fn size(self) -> usize {
        match self {
            Datatype::U8 | Datatype::I8 => 1,
            Datatype::I16 | Datatype::U16 => 2,
            Datatype::I32 | Datatype::U32 | Datatype::F32 => 4,
            Datatype::I64 | Datatype::U64 | Datatype::F64 => 8,
        }
    }
}
