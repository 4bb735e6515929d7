//! A network as a list of operations on buffers, ready for the engine; a value that can be
//! printed, measured and tested without a GPU.

use std::ops::Range;

use crate::config::{Activation, Decoder, UNetConfig};
use crate::{Result, Task};

/// A run of channels of a buffer. A reversible block's halves are two views of one buffer, so
/// there is no split and no concatenation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Which of [`Program::buffers`].
    pub buffer: usize,
    /// Which of its channels.
    pub channels: Range<usize>,
}

/// Room for `channels` maps of `dims` voxels, stored `[channel, k, j, i]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// Number of channels.
    pub channels: usize,
    /// Number of voxels along i, j, k.
    pub dims: [usize; 3],
}

impl Buffer {
    /// Voxels of one channel.
    pub fn num_voxels(&self) -> usize {
        self.dims.iter().product()
    }

    /// Bytes in f32.
    pub fn bytes(&self) -> u64 {
        4 * self.channels as u64 * self.num_voxels() as u64
    }
}

/// One operation. Parameters are named as in [`crate::config::parameters`]; the fields are `from`
/// what it reads, `to` what it writes, `on` what it changes, and its parameters' names.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Op {
    /// 1³ convolution; `weight` is `[to, from]`.
    Pointwise { from: View, to: View, weight: String, bias: Option<String> },
    /// Dense 3³ convolution, zero padding 1; `weight` is `[to, from, 3, 3, 3]`.
    Conv3 { from: View, to: View, weight: String },
    /// Depthwise 3³ convolution, zero padding 1; `weight` is `[c, 3, 3, 3]`.
    Depthwise3 { from: View, to: View, weight: String },
    /// Group norm with activation, in place.
    GroupNorm { on: View, groups: usize, gamma: String, beta: String, activation: Activation },
    /// `to += from`.
    AddInPlace { from: View, to: View },
    /// Maximum over 2³ voxels; halves every axis.
    MaxPool { from: View, to: View },
    /// Trilinear ×2, corners not aligned; doubles every axis.
    Upsample { from: View, to: View },
    /// The label code of every voxel (see [`Task::output_codes`]), one channel of u32: with
    /// `exclusive` the code of the largest logit, else of the last positive one, else 0.
    Decide { from: View, to: View, codes: Vec<u8>, exclusive: bool },
}

/// What a network computes on an input of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The buffers that the operations use; scratch is shared where lifetimes allow.
    pub buffers: Vec<Buffer>,
    /// The operations, in order.
    pub ops: Vec<Op>,
    /// Where the input is put.
    pub input: View,
    /// Where the result is found: logits, or label codes after [`Program::deciding`].
    pub output: View,
}

impl Program {
    /// The program of a network for an input of `dims` (i, j, k); its output are the logits.
    ///
    /// # Errors
    /// [`crate::Error::Network`] when the configuration cannot be built or does not take `dims`.
    pub fn new(config: &UNetConfig, dims: [usize; 3]) -> Result<Program> {
        config.check()?;
        config.check_size(dims)?;
        let mut build = Builder::default();
        let input = build.take(config.in_channels, dims);
        let mut skips: Vec<View> = Vec::new();
        for (level, &width) in config.widths.iter().enumerate() {
            let dims = dims.map(|d| d >> level);
            let path = format!("encoder.{level}");
            let from = match skips.last() {
                None => input.clone(),
                Some(above) => {
                    let to = build.take(above.channels.len(), dims);
                    build.ops.push(Op::MaxPool { from: above.clone(), to: to.clone() });
                    to
                }
            };
            let x = build.take(width, dims);
            let weight = format!("{path}.pointwise.conv.weight");
            build.ops.push(Op::Pointwise { from: from.clone(), to: x.clone(), weight, bias: None });
            build.norm(&x, config, &format!("{path}.pointwise.norm"), config.activation);
            if level > 0 {
                build.free(from);
            }
            build.sequence(&x, config, &format!("{path}.sequence"));
            skips.push(x);
        }
        let mut x = skips.pop().expect("check() asks for at least one level");
        for level in (0..config.num_levels()).rev() {
            let dims = dims.map(|d| d >> level);
            let path = format!("decoder.{level}");
            let next = config.widths[level.saturating_sub(1)];
            x = build.decoder_level(x, config, &path, dims, next, level == 0);
            if let Some(skip) = skips.pop() {
                let to = build.take(next, dims.map(|d| d * 2));
                build.ops.push(Op::Upsample { from: x.clone(), to: to.clone() });
                build.ops.push(Op::AddInPlace { from: skip.clone(), to: to.clone() });
                build.free(x);
                build.free(skip);
                x = to;
            }
        }
        let output = build.take(config.out_channels, dims);
        build.ops.push(Op::Pointwise {
            from: x,
            to: output.clone(),
            weight: "head.weight".into(),
            bias: Some("head.bias".into()),
        });
        Ok(Program { buffers: build.buffers, ops: build.ops, input, output })
    }

    /// The same program, ending with the label code of every voxel instead of the logits.
    pub fn deciding(mut self, task: &Task) -> Program {
        let dims = self.buffers[self.output.buffer].dims;
        self.buffers.push(Buffer { channels: 1, dims });
        let to = View { buffer: self.buffers.len() - 1, channels: 0..1 };
        let (codes, exclusive) = (task.output_codes(), task.head == crate::Head::Softmax);
        self.ops.push(Op::Decide { from: self.output, to: to.clone(), codes, exclusive });
        self.output = to;
        self
    }

    /// Bytes of all buffers in f32, without parameters.
    pub fn buffer_bytes(&self) -> u64 {
        self.buffers.iter().map(Buffer::bytes).sum()
    }

    /// Multiply-adds of one operation; up-sampling counts 8 a voxel, the rest nothing.
    pub fn multiply_adds(&self, op: &Op) -> u64 {
        let voxels = |view: &View| self.buffers[view.buffer].num_voxels() as u64;
        let channels = |view: &View| view.channels.len() as u64;
        match op {
            Op::Pointwise { from, to, .. } => channels(from) * channels(to) * voxels(to),
            Op::Conv3 { from, to, .. } => 27 * channels(from) * channels(to) * voxels(to),
            Op::Depthwise3 { to, .. } => 27 * channels(to) * voxels(to),
            Op::Upsample { to, .. } => 8 * channels(to) * voxels(to),
            _ => 0,
        }
    }

    /// Multiply-adds of the whole program.
    pub fn total_multiply_adds(&self) -> u64 {
        self.ops.iter().map(|op| self.multiply_adds(op)).sum()
    }
}

#[derive(Default)]
struct Builder {
    buffers: Vec<Buffer>,
    free: Vec<usize>,
    ops: Vec<Op>,
}

impl Builder {
    /// A free buffer of this size, or a new one.
    fn take(&mut self, channels: usize, dims: [usize; 3]) -> View {
        let wanted = Buffer { channels, dims };
        let buffer = match self.free.iter().position(|&b| self.buffers[b] == wanted) {
            Some(place) => self.free.swap_remove(place),
            None => {
                self.buffers.push(wanted);
                self.buffers.len() - 1
            }
        };
        View { buffer, channels: 0..channels }
    }

    fn free(&mut self, view: View) {
        self.free.push(view.buffer);
    }

    fn norm(&mut self, on: &View, config: &UNetConfig, path: &str, activation: Activation) {
        self.ops.push(Op::GroupNorm {
            on: on.clone(),
            groups: config.groups,
            gamma: format!("{path}.gamma"),
            beta: format!("{path}.beta"),
            activation,
        });
    }

    /// y1 = x1 + F(x2), y2 = x2 + G(y1), in place on the halves of `x`.
    fn sequence(&mut self, x: &View, config: &UNetConfig, path: &str) {
        let half = x.channels.len() / 2;
        let first = View { buffer: x.buffer, channels: 0..half };
        let second = View { buffer: x.buffer, channels: half..2 * half };
        for block in 0..config.blocks {
            let path = format!("{path}.blocks.{block}");
            self.mbconv(&second, &first, config, &format!("{path}.f"));
            self.mbconv(&first, &second, config, &format!("{path}.g"));
        }
    }

    /// `onto += MBConv(from)`.
    fn mbconv(&mut self, from: &View, onto: &View, config: &UNetConfig, path: &str) {
        let dims = self.buffers[from.buffer].dims;
        let half = from.channels.len();
        let expanded = self.take(half * config.expand_ratio, dims);
        let weight = format!("{path}.expand.conv.weight");
        let (to, bias) = (expanded.clone(), None);
        self.ops.push(Op::Pointwise { from: from.clone(), to, weight, bias });
        self.norm(&expanded, config, &format!("{path}.expand.norm"), config.activation);

        let filtered = self.take(half * config.expand_ratio, dims);
        let weight = format!("{path}.depthwise.conv.weight");
        let to = filtered.clone();
        self.ops.push(Op::Depthwise3 { from: expanded.clone(), to, weight });
        self.norm(&filtered, config, &format!("{path}.depthwise.norm"), config.activation);
        self.free(expanded);

        let projected = self.take(half, dims);
        let weight = format!("{path}.project.conv.weight");
        let (to, bias) = (projected.clone(), None);
        self.ops.push(Op::Pointwise { from: filtered.clone(), to, weight, bias });
        self.norm(&projected, config, &format!("{path}.project.norm"), Activation::Identity);
        self.ops.push(Op::AddInPlace { from: projected.clone(), to: onto.clone() });
        self.free(filtered);
        self.free(projected);
    }

    fn decoder_level(
        &mut self,
        x: View,
        config: &UNetConfig,
        path: &str,
        dims: [usize; 3],
        next: usize,
        is_top: bool,
    ) -> View {
        match config.decoder {
            Decoder::Conv2 => {
                let mut x = x;
                for (n, width) in [x.channels.len(), next].into_iter().enumerate() {
                    let to = self.take(width, dims);
                    let weight = format!("{path}.convs.{n}.conv.weight");
                    self.ops.push(Op::Conv3 { from: x.clone(), to: to.clone(), weight });
                    self.norm(&to, config, &format!("{path}.convs.{n}.norm"), config.activation);
                    self.free(x);
                    x = to;
                }
                x
            }
            Decoder::ReversibleMbconv => {
                self.sequence(&x, config, &format!("{path}.sequence"));
                if is_top {
                    return x;
                }
                let to = self.take(next, dims);
                self.ops.push(Op::Pointwise {
                    from: x.clone(),
                    to: to.clone(),
                    weight: format!("{path}.out.weight"),
                    bias: Some(format!("{path}.out.bias")),
                });
                self.free(x);
                to
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parameters;

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
                _ => {}
            }
        }
        names
    }

    #[test]
    fn every_parameter_is_used_once_in_order() {
        for preset in crate::config::PRESETS {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            let size = [config.min_size(); 3];
            let used = used_parameters(&Program::new(&config, size).unwrap());
            let named: Vec<String> = parameters(&config).into_iter().map(|p| p.name).collect();
            assert_eq!(used, named, "{preset}");
        }
    }

    /// The multiply-adds of the published reading at 256 × 256 × 160.
    #[test]
    fn multiply_adds_are_the_published_ones() {
        let tera = |preset: &str| {
            let config = UNetConfig::preset(preset, 4, 3).unwrap();
            let program = Program::new(&config, [256, 256, 160]).unwrap();
            program.total_multiply_adds() as f64 / 1e12
        };
        assert!((tera("mbconv-base") - 0.90).abs() < 0.005, "{}", tera("mbconv-base"));
        assert!((tera("mbconv-slim") - 0.128).abs() < 0.0005, "{}", tera("mbconv-slim"));
    }

    /// No operation may read and write one buffer's same channels, except those made in place.
    #[test]
    fn no_operation_reads_what_it_writes() {
        let config = UNetConfig::preset("mbconv-slim", 4, 3).unwrap();
        for op in Program::new(&config, [32; 3]).unwrap().ops {
            if let Op::Pointwise { from, to, .. }
            | Op::Conv3 { from, to, .. }
            | Op::Depthwise3 { from, to, .. }
            | Op::AddInPlace { from, to }
            | Op::MaxPool { from, to }
            | Op::Upsample { from, to } = op
            {
                assert_ne!(from.buffer, to.buffer);
            }
        }
    }
}
