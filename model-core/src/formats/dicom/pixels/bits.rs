//! Reads bits of the compressed data of JPEG and JPEG-LS, which marks a byte of ones.

/// The difference between the two formats behind a byte of ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stuffing {
    /// A zero byte follows (JPEG).
    Byte,
    /// A zero bit follows (JPEG-LS).
    Bit,
}

/// Reads bits, the highest first. Zeros follow the data's end; [`Bits::is_past_end`] tells.
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
    stuffing: Stuffing,
    /// The bits that were read behind the end.
    num_missing: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], stuffing: Stuffing) -> Self {
        Bits { bytes, at: 0, buffer: 0, count: 0, stuffing, num_missing: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let is_after_ones =
                self.at.checked_sub(1).is_some_and(|last| self.bytes.get(last) == Some(&0xff));
            let byte = self.bytes.get(self.at).copied();
            let is_marker = match (self.stuffing, byte) {
                (_, None) => true,
                (Stuffing::Byte, Some(0xff)) => self.bytes.get(self.at + 1) != Some(&0),
                (Stuffing::Bit, Some(0xff)) => {
                    self.bytes.get(self.at + 1).is_none_or(|next| next & 0x80 != 0)
                }
                _ => false,
            };
            let num_bits = if self.stuffing == Stuffing::Bit && is_after_ones { 7 } else { 8 };
            if is_marker {
                self.buffer <<= 8;
                self.count += 8;
                self.num_missing += 8;
                continue;
            }
            let byte = byte.unwrap_or(0);
            self.buffer = self.buffer << num_bits | u64::from(byte);
            self.count += num_bits;
            let is_stuffed = self.stuffing == Stuffing::Byte && byte == 0xff;
            self.at += 1 + usize::from(is_stuffed);
        }
    }

    /// Returns the next bits, at most 16, without taking them.
    pub fn peek(&mut self, count: u32) -> u32 {
        if self.count < count {
            self.fill();
        }
        (self.buffer >> (self.count - count)) as u32 & ((1 << count) - 1)
    }

    /// Skips bits that were peeked.
    pub fn skip(&mut self, count: u32) {
        self.count -= count;
    }

    /// Takes bits, at most 16.
    pub fn take(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.skip(count);
        bits
    }

    /// Returns whether more bits were taken than there are.
    pub fn is_past_end(&self) -> bool {
        self.num_missing > self.count
    }

    /// Skips to the byte behind a restart marker; returns whether there is one.
    pub fn restart(&mut self) -> bool {
        (self.buffer, self.count, self.num_missing) = (0, 0, 0);
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let is_marker = |pair: &[u8]| pair[0] == 0xff && (0xd0..=0xd7).contains(&pair[1]);
        match rest.windows(2).position(is_marker) {
            Some(offset) => {
                self.at += offset + 2;
                true
            }
            None => false,
        }
    }
}
