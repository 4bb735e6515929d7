//! Huffman codes of JPEG (T.81, annexes C and F).

use super::super::bits::Bits;

/// A table that is looked up by the next 16 bits.
pub struct HuffmanTable {
    /// For each length, the first 16-bit prefix behind its codes.
    ends: [u32; 17],
    /// For each length, the number to be added to a code for the index of its value.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl HuffmanTable {
    /// Returns the table of `counts` codes of each length; `None` if they do not fit.
    pub fn new(counts: &[u8; 16], values: &[u8]) -> Option<HuffmanTable> {
        let (mut ends, mut offsets) = ([0; 17], [0; 17]);
        let (mut code, mut index) = (0u32, 0i32);
        for length in 1..=16 {
            let count = u32::from(counts[length - 1]);
            offsets[length] = index - code as i32;
            code += count;
            index += count as i32;
            if code > 1 << length {
                return None;
            }
            ends[length] = code << (16 - length);
            code <<= 1;
        }
        Some(HuffmanTable { ends, offsets, values: values.to_vec() })
    }

    /// Takes a code and returns its value; `None` if there is no such code.
    pub fn decode(&self, bits: &mut Bits) -> Option<u8> {
        let next = bits.peek(16);
        let length = (1..=16).find(|&length| next < self.ends[length])?;
        bits.skip(length as u32);
        let index = (next >> (16 - length)) as i32 + self.offsets[length];
        self.values.get(usize::try_from(index).ok()?).copied()
    }
}

/// Takes a difference of `size` bits (T.81, F.2.2.1).
pub fn difference(bits: &mut Bits, size: u8) -> i32 {
    match size {
        0 => 0,
        16.. => 32768,
        size => {
            let value = bits.take(size.into()) as i32;
            let is_negative = value < 1 << (size - 1);
            if is_negative { value - (1 << size) + 1 } else { value }
        }
    }
}
