//! Turns a network's layers into operations on buffers. Buffers are reused as soon as nothing holds
//! them.

use super::op::{Buffer, Op, View};
use crate::network::layers::{ConvNorm, Kernel, Layer, Step};

#[derive(Default)]
pub(super) struct Builder {
    pub buffers: Vec<Buffer>,
    /// Reference count of each buffer: x, skips and the program's input hold buffers.
    holders: Vec<usize>,
    pub ops: Vec<Op>,
}

impl Builder {
    /// Returns a free buffer of this size, or a new one, with a reference count of 1.
    pub fn take(&mut self, channels: usize, dims: [usize; 3]) -> View {
        let wanted = Buffer { channels, dims };
        let is_free = |&b: &usize| self.holders[b] == 0 && self.buffers[b] == wanted;
        let buffer = match (0..self.buffers.len()).find(is_free) {
            Some(buffer) => buffer,
            None => {
                self.buffers.push(wanted);
                self.holders.push(0);
                self.buffers.len() - 1
            }
        };
        self.holders[buffer] += 1;
        View { buffer, channels: 0..channels }
    }

    pub fn hold(&mut self, view: &View) {
        self.holders[view.buffer] += 1;
    }

    fn free(&mut self, view: View) {
        self.holders[view.buffer] -= 1;
    }

    fn dims(&self, view: &View) -> [usize; 3] {
        self.buffers[view.buffer].dims
    }

    /// Adds one layer and returns the next x. `rest` is the list of layers after it.
    pub fn layer(&mut self, x: View, kept: &mut Vec<View>, layer: &Layer, rest: &[Step]) -> View {
        let (dims, channels) = (self.dims(&x), x.channels.len());
        match layer {
            Layer::ConvNorm(unit) => {
                // A tensor that will be concatenated later gets a buffer that is wide enough for
                // both.
                let joined = is_joined_later(rest);
                let room = self.take(if joined { 2 * unit.to } else { unit.to }, dims);
                let to = View { channels: 0..unit.to, ..room };
                self.unit(&x, &to, unit);
                self.free(x);
                to
            }
            Layer::Block { f, g } => {
                let (first, second) = halves(&x);
                self.half(&second, &first, f);
                self.half(&first, &second, g);
                x
            }
            Layer::Pool => {
                let to = self.take(channels, dims.map(|d| d / 2));
                self.ops.push(Op::MaxPool { from: x.clone(), to: to.clone() });
                self.free(x);
                to
            }
            Layer::SpaceToDepth => {
                let to = self.take(8 * channels, dims.map(|d| d / 2));
                self.ops.push(Op::SpaceToDepth { from: x.clone(), to: to.clone() });
                self.free(x);
                to
            }
            Layer::Upsample | Layer::DepthToSpace => {
                let squeezed = *layer == Layer::DepthToSpace;
                let channels = if squeezed { channels / 8 } else { channels };
                if let (false, Some(Layer::AddSkip)) =
                    (squeezed, rest.first().map(|step| &step.layer))
                {
                    // In place, in the skip's buffer: an addition of the skip always follows.
                    let to = kept.last().expect("every Add has its Keep").clone();
                    self.ops.push(Op::AddUpsampled { from: x.clone(), to: to.clone() });
                    self.free(x);
                    return to;
                }
                let to = match (rest.first().map(|step| &step.layer), kept.last()) {
                    // Written beside the tensor that it will be concatenated with.
                    (Some(Layer::ConcatSkip | Layer::ConcatHalf), Some(beside)) => {
                        let end = beside.channels.end;
                        let to = View { channels: end..end + channels, buffer: beside.buffer };
                        self.hold(&to);
                        to
                    }
                    _ => self.take(channels, dims.map(|d| d * 2)),
                };
                self.ops.push(match squeezed {
                    true => Op::DepthToSpace { from: x.clone(), to: to.clone() },
                    false => Op::Upsample { from: x.clone(), to: to.clone() },
                });
                self.free(x);
                to
            }
            Layer::Reflect { path, .. } => {
                let (to, vectors) = (self.take(channels, dims), format!("{path}.vectors"));
                let op =
                    Op::Reflect { from: x.clone(), to: to.clone(), vectors, transposed: false };
                self.ops.push(op);
                self.free(x);
                to
            }
            Layer::PushSkip => {
                self.hold(&x);
                kept.push(x.clone());
                x
            }
            Layer::PushHalf => {
                self.hold(&x);
                let (first, second) = halves(&x);
                kept.push(first);
                second
            }
            // Up-sampling, which always precedes it, has added the skip already.
            Layer::AddSkip => kept.pop().expect("every Add has its Keep"),
            Layer::ConcatSkip | Layer::ConcatHalf => {
                let skip = kept.pop().expect("every join has its Keep");
                let channels = skip.channels.start..x.channels.end;
                self.free(skip);
                View { channels, ..x }
            }
            Layer::BottleneckHook | Layer::DecoderHook => x,
        }
    }

    /// Adds a convolution with its norm.
    fn unit(&mut self, x: &View, to: &View, unit: &ConvNorm) {
        let (from, weight) = (x.clone(), unit.weight());
        let from = match unit.norm {
            Some(norm) if norm.first => {
                let normed = self.take(unit.from, self.dims(x));
                self.norm(unit, x, &normed);
                normed
            }
            _ => {
                self.hold(&from);
                from
            }
        };
        let (input, output) = (from.clone(), to.clone());
        self.ops.push(match unit.kernel {
            Kernel::Pointwise => {
                Op::Pointwise { from: input, to: output, weight, bias: unit.bias() }
            }
            Kernel::Depthwise3 => Op::Depthwise3 { from: input, to: output, weight },
            Kernel::Conv3 => Op::Conv3 { from: input, to: output, weight },
        });
        self.free(from);
        if unit.norm.is_some_and(|norm| !norm.first) {
            self.norm(unit, to, to);
        }
    }

    fn norm(&mut self, unit: &ConvNorm, from: &View, to: &View) {
        let norm = unit.norm.expect("called for units with a norm");
        let [gamma, beta] = unit.affine();
        let (groups, activation) = (norm.groups, norm.activation);
        let (from, to) = (from.clone(), to.clone());
        self.ops.push(Op::GroupNorm { from, to, groups, gamma, beta, activation });
    }

    /// Adds `onto += F(from)`.
    fn half(&mut self, from: &View, onto: &View, units: &[ConvNorm]) {
        let mut x = from.clone();
        self.hold(&x);
        for unit in units {
            let to = self.take(unit.to, self.dims(&x));
            self.unit(&x, &to, unit);
            self.free(x);
            x = to;
        }
        self.ops.push(Op::AddInPlace { from: x.clone(), to: onto.clone() });
        self.free(x);
    }
}

/// Returns whether the output of a layer is pushed, changed only in place until then, and later
/// concatenated with as many channels.
fn is_joined_later(rest: &[Step]) -> bool {
    let mut rest = rest.iter().map(|step| &step.layer);
    let is_kept =
        rest.find(|layer| !matches!(layer, Layer::Block { .. })) == Some(&Layer::PushSkip);
    let mut depth = 1;
    is_kept
        && rest.any(|layer| {
            match layer {
                Layer::PushSkip => depth += 1,
                Layer::AddSkip | Layer::ConcatSkip => depth -= 1,
                _ => {}
            }
            depth == 0 && *layer == Layer::ConcatSkip
        })
}

fn halves(x: &View) -> (View, View) {
    let half = x.channels.start + x.channels.len() / 2;
    let of = |channels| View { buffer: x.buffer, channels };
    (of(x.channels.start..half), of(half..x.channels.end))
}
