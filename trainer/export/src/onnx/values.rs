//! Tracks which ONNX value each channel of a program's buffer holds. A program writes into channels
//! of buffers, but each ONNX node creates a new value.

use std::ops::Range;

use model_core::View;

/// Channels of a buffer, and the channels of a value that they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HeldChannels {
    /// The channels of the buffer.
    channels: Range<usize>,
    held: ValueChannels,
}

/// Consecutive channels of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ValueChannels {
    /// The value's name.
    pub value: String,
    /// The number of the value's channels.
    pub num_channels: usize,
    /// The consecutive channels.
    pub channels: Range<usize>,
}

impl ValueChannels {
    /// Returns whether these are all channels of the value.
    pub fn is_whole(&self) -> bool {
        self.channels == (0..self.num_channels)
    }
}

/// The values that each buffer holds, in the order of the buffer's channels.
pub(super) struct BufferValues(Vec<Vec<HeldChannels>>);

impl BufferValues {
    /// Returns empty buffers.
    pub fn new(num_buffers: usize) -> BufferValues {
        BufferValues(vec![Vec::new(); num_buffers])
    }

    /// Records that a view holds a whole value, instead of the former values of its channels.
    pub fn write(&mut self, view: &View, value: &str) {
        let Range { start, end } = view.channels;
        let num_channels = end - start;
        let whole = ValueChannels { value: value.into(), num_channels, channels: 0..num_channels };
        let before = std::mem::take(&mut self.0[view.buffer]);
        let outside = before.iter().flat_map(|held| [clip(held, 0..start), clip(held, end..!0)]);
        let mut after: Vec<HeldChannels> = outside.flatten().collect();
        after.push(HeldChannels { channels: start..end, held: whole });
        after.sort_by_key(|held| held.channels.start);
        self.0[view.buffer] = after;
    }

    /// Returns the values in a view's channels, in order.
    ///
    /// # Panics
    /// Panics if a channel was never written.
    pub fn read(&self, view: &View) -> Vec<ValueChannels> {
        let inside =
            self.0[view.buffer].iter().filter_map(|held| clip(held, view.channels.clone()));
        let values: Vec<ValueChannels> = inside.map(|held| held.held).collect();
        let num_channels: usize = values.iter().map(|value| value.channels.len()).sum();
        assert_eq!(num_channels, view.channels.len(), "channels written of {view:?}");
        values
    }
}

/// Restricts held channels to a range of the buffer's channels. Returns `None` if they do not
/// overlap.
fn clip(
    HeldChannels { channels, held }: &HeldChannels,
    within: Range<usize>,
) -> Option<HeldChannels> {
    let start = channels.start.max(within.start);
    let end = channels.end.min(within.end);
    let shift = |channel: usize| channel - channels.start + held.channels.start;
    (start < end).then(|| HeldChannels {
        channels: start..end,
        held: ValueChannels { channels: shift(start)..shift(end), ..held.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(channels: Range<usize>) -> View {
        View { buffer: 0, channels }
    }

    fn read(values: &BufferValues, channels: Range<usize>) -> Vec<(String, Range<usize>)> {
        let held = values.read(&view(channels));
        held.into_iter().map(|held| (held.value, held.channels)).collect()
    }

    #[test]
    fn channels_that_are_written_again_leave_the_others_of_the_old_value() {
        let mut values = BufferValues::new(1);
        values.write(&view(0..8), "x");
        assert!(values.read(&view(0..8))[0].is_whole());
        values.write(&view(0..4), "y");
        assert_eq!(read(&values, 0..8), [("y".into(), 0..4), ("x".into(), 4..8)]);
        values.write(&view(2..6), "z");
        let expected = [("y".into(), 1..2), ("z".into(), 0..4), ("x".into(), 6..7)];
        assert_eq!(read(&values, 1..7), expected);
    }

    #[test]
    #[should_panic(expected = "channels written")]
    fn channels_that_were_never_written_cannot_be_read() {
        let mut values = BufferValues::new(1);
        values.write(&view(0..4), "x");
        values.read(&view(0..5));
    }
}
