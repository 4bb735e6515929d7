//! The voxel types of NIfTI.

use crate::formats::number_type::NumberType;

/// Returns the type of NIfTI's code, or the name of an unsupported type as the error.
pub(super) fn from_code(code: i16) -> Result<NumberType, String> {
    Ok(match code {
        2 => NumberType::U8,
        4 => NumberType::I16,
        8 => NumberType::I32,
        16 => NumberType::F32,
        64 => NumberType::F64,
        256 => NumberType::I8,
        512 => NumberType::U16,
        768 => NumberType::U32,
        1024 => NumberType::I64,
        1280 => NumberType::U64,
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
