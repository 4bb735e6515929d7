//! A network as a list of operations on buffers. A program is a value that can be printed, measured
//! and tested without a GPU; the engines run it.

use crate::network::config::UNetConfig;
use crate::network::layers::{Step, steps};
use crate::{Result, Task};

mod builder;
mod op;

pub use op::{Buffer, Op, View};

use builder::Builder;

/// The computation of a network on an input of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Buffers of the operations. Scratch buffers are shared if lifetimes allow.
    pub buffers: Vec<Buffer>,
    /// The operations, in order.
    pub ops: Vec<Op>,
    /// View that receives the input.
    pub input: View,
    /// View that holds the result: logits, or label codes after [`Program::deciding`].
    pub output: View,
}

impl Program {
    /// Creates the program of a network for an input of `dims` (i, j, k). Its output is the logits.
    ///
    /// # Errors
    /// [`crate::Error::Network`] if the configuration cannot be built or does not accept `dims`.
    pub fn new(config: &UNetConfig, dims: [usize; 3]) -> Result<Program> {
        config.check_size(dims)?;
        let mut build = Builder::default();
        let input = build.take(config.in_channels(), dims);
        // The input's buffer is never reused.
        build.hold(&input);
        let (mut x, mut kept) = (input.clone(), Vec::new());
        let steps = steps(config);
        for (n, Step { layer, .. }) in steps.iter().enumerate() {
            x = build.layer(x, &mut kept, layer, &steps[n + 1..]);
        }
        Ok(Program { buffers: build.buffers, ops: build.ops, input, output: x })
    }

    /// Returns the program with label codes instead of logits as output.
    pub fn deciding(mut self, task: &Task) -> Program {
        let dims = self.buffers[self.output.buffer].dims;
        self.buffers.push(Buffer { channels: 1, dims });
        let to = View { buffer: self.buffers.len() - 1, channels: 0..1 };
        let (codes, exclusive) = (task.output_codes(), task.head == crate::Head::Softmax);
        self.ops.push(Op::Decide { from: self.output, to: to.clone(), codes, exclusive });
        self.output = to;
        self
    }

    /// Returns the channels of the widest buffer.
    pub fn widest(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.channels).max().unwrap_or(0)
    }

    /// Returns the bytes of all buffers in f32, without parameters.
    pub fn buffer_bytes(&self) -> u64 {
        self.buffers.iter().map(Buffer::bytes).sum()
    }

    /// Returns the multiply-adds of an operation. Up-sampling counts 8 per voxel; operations
    /// without products count 0.
    pub fn multiply_adds(&self, op: &Op) -> u64 {
        let voxels = |view: &View| self.buffers[view.buffer].num_voxels() as u64;
        let channels = |view: &View| view.channels.len() as u64;
        match op {
            Op::Pointwise { from, to, .. } | Op::Reflect { from, to, .. } => {
                channels(from) * channels(to) * voxels(to)
            }
            Op::Conv3 { from, to, .. } => 27 * channels(from) * channels(to) * voxels(to),
            Op::Depthwise3 { to, .. } => 27 * channels(to) * voxels(to),
            Op::Upsample { to, .. } | Op::AddUpsampled { to, .. } => 8 * channels(to) * voxels(to),
            _ => 0,
        }
    }

    /// Returns the multiply-adds of the whole program.
    pub fn total_multiply_adds(&self) -> u64 {
        self.ops.iter().map(|op| self.multiply_adds(op)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::config::published_size;
    use crate::network::layers::parameters;

    fn used_parameters(program: &Program) -> Vec<String> {
        let mut names = Vec::new();
        for op in &program.ops {
            match op {
                Op::Pointwise { weight, bias, .. } => {
                    names.push(weight.clone());
                    names.extend(bias.clone());
                }
                Op::Conv3 { weight, .. } | Op::Depthwise3 { weight, .. } => {
                    names.push(weight.clone());
                }
                Op::GroupNorm { gamma, beta, .. } => {
                    names.extend([gamma.clone(), beta.clone()]);
                }
                Op::Reflect { vectors, .. } => names.push(vectors.clone()),
                _ => {}
            }
        }
        names
    }

    #[test]
    fn every_parameter_is_used_once_in_order() {
        for preset in crate::network::config::PRESETS {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            let size = [config.min_size(); 3];
            let used = used_parameters(&Program::new(&config, size).unwrap());
            let named: Vec<String> = parameters(&config).into_iter().map(|p| p.name).collect();
            assert_eq!(used, named, "{preset}");
        }
    }

    /// Multiply-adds of the published networks at their papers' sizes.
    #[test]
    fn multiply_adds_are_the_published_ones() {
        let published = [
            ("pendse-baseline", 4.01, 0.005),
            ("mbconv-base", 0.90, 0.005),
            ("mbconv-deeper", 0.18, 0.005),
            ("mbconv-wider", 0.21, 0.005),
            ("mbconv-slim", 0.128, 0.0005),
        ];
        for (preset, expected, within) in published {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            let program = Program::new(&config, published_size(preset)).unwrap();
            let tera = program.total_multiply_adds() as f64 / 1e12;
            assert!((tera - expected).abs() < within, "{preset}: {tera}");
        }
    }

    /// Only in-place operations read and write the same channels of a buffer.
    #[test]
    fn no_operation_reads_what_it_writes() {
        for preset in crate::network::config::PRESETS {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            for op in Program::new(&config, [config.min_size(); 3]).unwrap().ops {
                let (Op::Pointwise { from, to, .. }
                | Op::Conv3 { from, to, .. }
                | Op::Depthwise3 { from, to, .. }
                | Op::MaxPool { from, to }
                | Op::Upsample { from, to }
                | Op::SpaceToDepth { from, to }
                | Op::DepthToSpace { from, to }
                | Op::Reflect { from, to, .. }
                | Op::GroupNorm { from, to, .. }
                | Op::AddInPlace { from, to }
                | Op::AddUpsampled { from, to }) = &op
                else {
                    continue;
                };
                let in_place = matches!(op, Op::GroupNorm { .. }) && from == to;
                assert!(in_place || from.buffer != to.buffer, "{op:?}");
            }
        }
    }
}
