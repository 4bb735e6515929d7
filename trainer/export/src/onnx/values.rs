//! Buffers as values: a program writes into channels of buffers, an ONNX node makes a new value.
//! Here stands which value each channel of a buffer holds at a moment.

use std::ops::Range;

use model_core::View;

/// Channels of a buffer that hold channels of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    /// The channels of the buffer.
    channels: Range<usize>,
    part: Part,
}

/// A run of channels of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Part {
    /// The value's name.
    pub value: String,
    /// How many channels it has.
    pub of: usize,
    /// Which of them.
    pub channels: Range<usize>,
}

impl Part {
    /// Whether it is all of the value.
    pub fn is_whole(&self) -> bool {
        self.channels == (0..self.of)
    }
}

/// What the buffers hold.
pub(super) struct Values(Vec<Vec<Piece>>);

impl Values {
    /// Nothing yet.
    pub fn new(num_buffers: usize) -> Values {
        Values(vec![Vec::new(); num_buffers])
    }

    /// The view's channels hold a whole value from now on; what they held before is gone.
    pub fn write(&mut self, view: &View, value: &str) {
        let Range { start, end } = view.channels;
        let whole = Part { value: value.into(), of: end - start, channels: 0..end - start };
        let before = std::mem::take(&mut self.0[view.buffer]);
        let rest = before.iter().flat_map(|piece| [clip(piece, 0..start), clip(piece, end..!0)]);
        let mut pieces: Vec<Piece> = rest.flatten().collect();
        pieces.push(Piece { channels: start..end, part: whole });
        pieces.sort_by_key(|piece| piece.channels.start);
        self.0[view.buffer] = pieces;
    }

    /// What lies in the view's channels, in order.
    ///
    /// # Panics
    /// When a channel was never written: the program would read what it has not made.
    pub fn read(&self, view: &View) -> Vec<Part> {
        let found =
            self.0[view.buffer].iter().filter_map(|piece| clip(piece, view.channels.clone()));
        let found: Vec<Part> = found.map(|piece| piece.part).collect();
        let num_channels: usize = found.iter().map(|part| part.channels.len()).sum();
        assert_eq!(num_channels, view.channels.len(), "channels written of {view:?}");
        found
    }
}

/// What of a piece lies within channels of its buffer.
fn clip(piece: &Piece, within: Range<usize>) -> Option<Piece> {
    let start = piece.channels.start.max(within.start);
    let end = piece.channels.end.min(within.end);
    let shift = |at: usize| at - piece.channels.start + piece.part.channels.start;
    (start < end).then(|| Piece {
        channels: start..end,
        part: Part { channels: shift(start)..shift(end), ..piece.part.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(channels: Range<usize>) -> View {
        View { buffer: 0, channels }
    }

    fn found(values: &Values, channels: Range<usize>) -> Vec<(String, Range<usize>)> {
        let parts = values.read(&view(channels));
        parts.into_iter().map(|part| (part.value, part.channels)).collect()
    }

    #[test]
    fn a_half_written_again_leaves_the_other_half_of_the_old_value() {
        let mut values = Values::new(1);
        values.write(&view(0..8), "x");
        assert!(values.read(&view(0..8))[0].is_whole());
        values.write(&view(0..4), "y");
        assert_eq!(found(&values, 0..8), [("y".into(), 0..4), ("x".into(), 4..8)]);
        values.write(&view(2..6), "z");
        let expected = [("y".into(), 1..2), ("z".into(), 0..4), ("x".into(), 6..7)];
        assert_eq!(found(&values, 1..7), expected);
    }

    #[test]
    #[should_panic(expected = "channels written")]
    fn what_was_never_written_is_never_read() {
        let mut values = Values::new(1);
        values.write(&view(0..4), "x");
        values.read(&view(0..5));
    }
}
