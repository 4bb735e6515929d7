//! The types of stored voxels, which all formats share.

/// The type of a stored number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl NumberType {
    /// Returns the bytes of one number.
    pub fn size(self) -> usize {
        match self {
            NumberType::I8 | NumberType::U8 => 1,
            NumberType::I16 | NumberType::U16 => 2,
            NumberType::I32 | NumberType::U32 | NumberType::F32 => 4,
            NumberType::I64 | NumberType::U64 | NumberType::F64 => 8,
        }
    }

    /// Returns the number in the low bytes of a little-endian cell.
    pub fn number(self, cell: [u8; 8]) -> f64 {
        let [a, b, c, d, ..] = cell;
        match self {
            NumberType::I8 => i8::from_le_bytes([a]).into(),
            NumberType::U8 => a.into(),
            NumberType::I16 => i16::from_le_bytes([a, b]).into(),
            NumberType::U16 => u16::from_le_bytes([a, b]).into(),
            NumberType::I32 => i32::from_le_bytes([a, b, c, d]).into(),
            NumberType::U32 => u32::from_le_bytes([a, b, c, d]).into(),
            NumberType::I64 => i64::from_le_bytes(cell) as f64,
            NumberType::U64 => u64::from_le_bytes(cell) as f64,
            NumberType::F32 => f32::from_le_bytes([a, b, c, d]).into(),
            NumberType::F64 => f64::from_le_bytes(cell),
        }
    }
}
