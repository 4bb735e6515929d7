//! The bytes of an event file: TFRecords, each an `Event` message of TensorBoard's event.proto.
//!
//! A record is the length of its message (u64, little endian), that length's masked CRC32C, the
//! message and its masked CRC32C (tensorflow/core/lib/io/record_writer).

/// An event, as far as it is read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// Steps done.
    pub(super) step: u64,
    /// Tag and value; `None` for a mark.
    pub(super) value: Option<(String, f32)>,
}

/// Returns the first event of a file, the version of the format.
pub(super) fn version(wall_secs: f64) -> Vec<u8> {
    frame(&[double(1, wall_secs), bytes(3, b"brain.Event:2")].concat())
}

/// Returns the mark after which a reader forgets this step and later ones: `SessionLog` with the
/// status START.
pub(super) fn restart(wall_secs: f64, step: u64) -> Vec<u8> {
    frame(&[double(1, wall_secs), number(2, step), bytes(7, &number(1, 1))].concat())
}

/// Returns the event of a number under a tag.
pub(super) fn scalar(wall_secs: f64, step: u64, tag: &str, value: f32) -> Vec<u8> {
    let mut simple_value = key(2, 5);
    simple_value.extend(value.to_le_bytes());
    let value = bytes(1, &[bytes(1, tag.as_bytes()), simple_value].concat());
    frame(&[double(1, wall_secs), number(2, step), bytes(5, &value)].concat())
}

/// Returns the length in bytes of the longest prefix of whole records whose events are all kept, and
/// its number of values.
pub(super) fn prefix(file: &[u8], mut is_kept: impl FnMut(&Event) -> bool) -> (usize, usize) {
    let (mut at, mut num_values) = (0, 0);
    while let Some((message, len)) = unframe(&file[at..])
        && let Some(event) = event(message)
        && is_kept(&event)
    {
        at += len;
        num_values += usize::from(event.value.is_some());
    }
    (at, num_values)
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn frame(message: &[u8]) -> Vec<u8> {
    let len = (message.len() as u64).to_le_bytes();
    [&len[..], &masked_crc(&len), message, &masked_crc(message)].concat()
}

/// Returns the message and the length of the first record; `None` if the record is incomplete or
/// damaged.
fn unframe(file: &[u8]) -> Option<(&[u8], usize)> {
    let (len, rest) = file.split_first_chunk::<8>()?;
    let (len_crc, rest) = rest.split_first_chunk::<4>()?;
    let num_bytes = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    let (message, rest) = rest.split_at_checked(num_bytes)?;
    let (crc, _) = rest.split_first_chunk::<4>()?;
    let is_whole = *len_crc == masked_crc(len) && *crc == masked_crc(message);
    is_whole.then_some((message, num_bytes + 16))
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Encodes a field's number and its wire type: 0 is a varint, 1 eight bytes, 2 a length and bytes, 5
/// four bytes.
fn key(field: u64, wire: u64) -> Vec<u8> {
    varint(field << 3 | wire)
}

fn double(field: u64, value: f64) -> Vec<u8> {
    [key(field, 1), value.to_le_bytes().to_vec()].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [key(field, 0), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [&key(field, 2)[..], &varint(value.len() as u64), value].concat()
}

/// Returns the fields of a message with the bytes of their values; `None` for other bytes.
fn fields(mut message: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = read_varint(&mut message)?;
        let len = match key & 7 {
            0 => message.iter().position(|byte| byte & 0x80 == 0)? + 1,
            1 => 8,
            2 => usize::try_from(read_varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = message.split_at_checked(len)?;
        found.push((key >> 3, value));
        message = rest;
    }
    Some(found)
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for n in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * n)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn event(message: &[u8]) -> Option<Event> {
    let field = |message, number| -> Option<Option<&[u8]>> {
        Some(fields(message)?.into_iter().find(|(field, _)| *field == number).map(|f| f.1))
    };
    let step = match field(message, 2)? {
        Some(mut step) => read_varint(&mut step)?,
        None => 0,
    };
    let value = match field(message, 5)? {
        None => None,
        Some(summary) => {
            let value = field(summary, 1)??;
            let tag = String::from_utf8(field(value, 1)??.to_vec()).ok()?;
            let number = field(value, 2)??.first_chunk::<4>()?;
            Some((tag, f32::from_le_bytes(*number)))
        }
    };
    Some(Event { step, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN_VERSION: &str =
        "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c";
    const GOLDEN_RESTART: &str = "100000000000000095fbfe1809000000000000f83f10ad023a020801d17949d4";
    const GOLDEN_SCALAR: &str = "2400000000000000422b804d09000000000000f83f10ac022a160a140a0d74726\
                                 1696e696e672f6c6f737315cdcccc3dc0752c22";

    /// The golden bytes are written by TensorBoard 2.21.0's `RecordWriter`, in `golden.py`.
    #[test]
    fn records_are_those_of_tensorboard() {
        let golden = [
            (version(1.5), GOLDEN_VERSION),
            (restart(1.5, 301), GOLDEN_RESTART),
            (scalar(1.5, 300, "training/loss", 0.1), GOLDEN_SCALAR),
        ];
        golden.iter().for_each(|(ours, golden)| assert_eq!(hex::encode(ours), *golden));
    }

    #[test]
    fn written_events_are_read_back() {
        let file = [version(1.5), scalar(2.5, 1 << 40, "a/b c", -0.5), restart(3.5, 7)].concat();
        let mut events = Vec::new();
        let all = |event: &Event| {
            events.push(event.clone());
            true
        };
        assert_eq!(prefix(&file, all), (file.len(), 1));
        let value = Some(("a/b c".to_string(), -0.5));
        let event = |step, value| Event { step, value };
        assert_eq!(events, [event(0, None), event(1 << 40, value), event(7, None)]);
    }

    #[test]
    fn reading_ends_at_damage() {
        let (first, second) = (version(0.0), scalar(0.0, 1, "loss", 0.5));
        let file = [&first[..], &second].concat();
        for at in 0..file.len() {
            let kept = if at < first.len() { 0 } else { first.len() };
            let mut flipped = file.clone();
            flipped[at] ^= 0x11;
            assert_eq!(prefix(&flipped, |_| true).0, kept, "byte {at}");
            assert_eq!(prefix(&file[..at], |_| true).0, kept, "{at} bytes");
        }
        // Whole records around messages that end too early, or around other bytes.
        for message in [&[0x0b][..], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x10], &[0xff; 11]] {
            assert_eq!(prefix(&frame(message), |_| true).0, 0);
        }
    }
}
