//! Packs the parameters as the kernels read them, into one buffer.

use std::ops::Range;

use model_core::{Op, Program, Weights, orthogonal};

use crate::Error;
use crate::kernels::{
    conv3, depthwise_conv, expand_depthwise, expansion, group_norm, pointwise_conv,
};

/// Alignment of packed weights in bytes: that of a binding by default limits.
pub const ALIGNMENT: u64 = 256;

/// Layout of an operation's packed parameters; `op` is the operation's index.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum WeightLayout {
    /// A range of rows and columns of a matrix, and the rows' bias.
    Pointwise { op: usize, rows: Range<usize>, cols: Range<usize> },
    /// A dense convolution.
    Conv3 { op: usize },
    /// A range of channels of a depthwise convolution.
    Depthwise { op: usize, channels: Range<usize> },
    /// Gamma and beta of a norm.
    Affine { op: usize },
    /// The matrix of a 1³ convolution, and gamma and beta of the norm after it.
    Expansion { op: usize },
    /// A range of rows of a 1³ convolution's matrix, and the taps of the depthwise convolution
    /// after its norm.
    ExpandDepthwise { op: usize, channels: Range<usize> },
    /// Label codes.
    Codes { op: usize },
}

/// Packed weights in the common buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedWeights {
    /// The layout.
    pub layout: WeightLayout,
    /// Offset in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// Collects layouts, each once.
#[derive(Debug, Default)]
pub struct PackedWeightsSet {
    list: Vec<PackedWeights>,
    end: u64,
}

impl PackedWeightsSet {
    /// Returns the index of a layout.
    pub fn add(&mut self, program: &Program, layout: WeightLayout) -> usize {
        if let Some(index) = self.list.iter().position(|packed| packed.layout == layout) {
            return index;
        }
        let bytes = layout.bytes(program);
        self.list.push(PackedWeights { layout, offset: self.end, bytes });
        self.end = (self.end + bytes).next_multiple_of(ALIGNMENT);
        self.list.len() - 1
    }

    /// Returns all packed weights and the bytes of their buffer.
    pub fn finish(self) -> (Vec<PackedWeights>, u64) {
        (self.list, self.end.max(ALIGNMENT))
    }
}

impl WeightLayout {
    fn bytes(&self, program: &Program) -> u64 {
        let numbers = match self {
            WeightLayout::Pointwise { rows, cols, .. } => {
                pointwise_conv::packed_len(rows.len(), cols.len())
            }
            WeightLayout::Conv3 { op } => {
                let (from, to) = program.ops[*op].views();
                conv3::packed_len(to.channels.len(), from.channels.len())
            }
            WeightLayout::Depthwise { channels, .. } => depthwise_conv::packed_len(channels.len()),
            WeightLayout::Expansion { op } => {
                let (from, to) = program.ops[*op].views();
                to.channels.len() * (from.channels.len() + 2)
            }
            WeightLayout::ExpandDepthwise { op, channels } => {
                let (from, _) = program.ops[*op].views();
                expand_depthwise::packed_len(channels.len(), from.channels.len())
            }
            WeightLayout::Affine { op } => 2 * program.ops[*op].views().1.channels.len(),
            WeightLayout::Codes { op } => match &program.ops[*op] {
                Op::Decide { codes, .. } => codes.len(),
                _ => 0,
            },
        };
        4 * numbers as u64
    }

    /// Packs the values.
    ///
    /// # Errors
    /// [`Error::Program`] if a parameter is missing or of another shape.
    pub fn pack(&self, program: &Program, weights: &Weights) -> Result<Vec<u8>, Error> {
        let (WeightLayout::Pointwise { op, .. }
        | WeightLayout::Conv3 { op }
        | WeightLayout::Depthwise { op, .. }
        | WeightLayout::Affine { op }
        | WeightLayout::Expansion { op }
        | WeightLayout::ExpandDepthwise { op, .. }
        | WeightLayout::Codes { op }) = self;
        let packed = match (self, &program.ops[*op]) {
            (
                WeightLayout::Pointwise { rows, cols, .. },
                Op::Pointwise { from, to, weight, bias },
            ) => {
                let (out_channels, in_channels) = (to.channels.len(), from.channels.len());
                let weight = find(weights, weight, &[out_channels, in_channels])?;
                let bias =
                    bias.as_ref().map(|bias| find(weights, bias, &[out_channels])).transpose()?;
                pointwise(weight, bias, in_channels, rows, cols)
            }
            (
                WeightLayout::Pointwise { rows, cols, .. },
                Op::Reflect { to, vectors, transposed, .. },
            ) => {
                let channels = to.channels.len();
                // Any number of reflections is valid.
                let count = weights.get(vectors).and_then(|array| array.shape.first());
                find(weights, vectors, &[count.copied().unwrap_or(channels), channels])?;
                let matrix = orthogonal(&weights[vectors]);
                let matrix = if *transposed { transpose(&matrix, channels) } else { matrix };
                pointwise(&matrix, None, channels, rows, cols)
            }
            (WeightLayout::Expansion { .. }, Op::Pointwise { from, to, weight, .. }) => {
                let (out_channels, in_channels) = (to.channels.len(), from.channels.len());
                let weight = find(weights, weight, &[out_channels, in_channels])?;
                let [gamma, beta] = match program.ops.get(op + 1) {
                    Some(Op::GroupNorm { gamma, beta, .. }) => [gamma, beta],
                    other => return Err(Error::program("a norm", format!("{other:?}"))),
                };
                let [gamma, beta] = [gamma, beta].map(|name| find(weights, name, &[out_channels]));
                expansion::pack(gamma?, beta?, weight)
            }
            (
                WeightLayout::ExpandDepthwise { channels, .. },
                Op::Pointwise { from, to, weight, .. },
            ) => {
                let (out_channels, in_channels) = (to.channels.len(), from.channels.len());
                let weight = find(weights, weight, &[out_channels, in_channels])?;
                let taps = match program.ops.get(op + 2) {
                    Some(Op::Depthwise3 { weight, .. }) => weight,
                    other => {
                        let expected = "a depthwise convolution";
                        return Err(Error::program(expected, format!("{other:?}")));
                    }
                };
                let taps = find(weights, taps, &[out_channels, 3, 3, 3])?;
                let expansion = &weight[in_channels * channels.start..in_channels * channels.end];
                let taps = &taps[27 * channels.start..27 * channels.end];
                expand_depthwise::pack(expansion, taps, channels.len(), in_channels)
            }
            (_, Op::Conv3 { from, to, weight }) => {
                let (out_channels, in_channels) = (to.channels.len(), from.channels.len());
                conv3::pack(
                    find(weights, weight, &[out_channels, in_channels, 3, 3, 3])?,
                    out_channels,
                    in_channels,
                )
            }
            (WeightLayout::Depthwise { channels, .. }, Op::Depthwise3 { to, weight, .. }) => {
                let weight = find(weights, weight, &[to.channels.len(), 3, 3, 3])?;
                depthwise_conv::pack(&weight[27 * channels.start..27 * channels.end])
            }
            (_, Op::GroupNorm { to, gamma, beta, .. }) => {
                let shape = [to.channels.len()];
                group_norm::pack(find(weights, gamma, &shape)?, find(weights, beta, &shape)?)
            }
            (_, Op::Decide { codes, .. }) => {
                let codes: Vec<u32> = codes.iter().map(|&code| u32::from(code)).collect();
                return Ok(bytemuck::cast_slice(&codes).to_vec());
            }
            (layout, op) => return Err(Error::program(format!("{layout:?}"), format!("{op:?}"))),
        };
        Ok(bytemuck::cast_slice(&packed).to_vec())
    }
}

/// Packs a range of rows and columns of a matrix with `in_channels` columns.
fn pointwise(
    weight: &[f32],
    bias: Option<&[f32]>,
    in_channels: usize,
    rows: &Range<usize>,
    cols: &Range<usize>,
) -> Vec<f32> {
    let row = |row: usize| weight[row * in_channels..][cols.clone()].iter().copied();
    let some: Vec<f32> = rows.clone().flat_map(row).collect();
    let bias = bias.map(|bias| &bias[rows.clone()]);
    pointwise_conv::pack(&some, bias, rows.len(), cols.len())
}

/// Transposes a matrix `[size, size]`.
fn transpose(matrix: &[f32], size: usize) -> Vec<f32> {
    (0..size * size).map(|at| matrix[at % size * size + at / size]).collect()
}

/// Returns the values of a parameter.
///
/// # Errors
/// [`Error::Program`] if it is missing or of another shape.
fn find<'a>(weights: &'a Weights, name: &str, shape: &[usize]) -> Result<&'a [f32], Error> {
    let expected = || format!("parameter {name} of shape {shape:?}");
    let num_values = shape.iter().fold(1_usize, |a, &b| a.saturating_mul(b));
    match weights.get(name) {
        None => Err(Error::program(expected(), "none")),
        Some(array) if array.shape == shape && array.values.len() == num_values => {
            Ok(&array.values)
        }
        Some(array) => {
            let found = format!("shape {:?} with {} values", array.shape, array.values.len());
            Err(Error::program(expected(), found))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::{Array, Buffer, View};

    #[test]
    fn misshapen_reflections_are_refused_by_name() {
        let view = |buffer| View { buffer, channels: 0..3 };
        let (from, to) = (view(0), view(1));
        let op = Op::Reflect { from, to, vectors: "mix.vectors".into(), transposed: true };
        let buffers = vec![Buffer { channels: 3, dims: [1; 3] }; 2];
        let program = Program { buffers, ops: vec![op], input: view(0), output: view(1) };
        let layout = WeightLayout::Pointwise { op: 0, rows: 0..3, cols: 0..3 };
        let packed = |shape: &[usize], len: usize| {
            let array = Array { shape: shape.to_vec(), values: vec![1.0; len] };
            layout.pack(&program, &Weights::from([("mix.vectors".into(), array)]))
        };
        for rows in [0, 1, 3, 5] {
            let packed = packed(&[rows, 3], 3 * rows).unwrap();
            assert_eq!(packed.len() as u64, layout.bytes(&program));
        }
        let mut errors = vec![layout.pack(&program, &Weights::new())];
        for (shape, len) in [
            (&[3][..], 3),
            (&[], 1),
            (&[3, 1], 3),
            (&[1, 3, 1], 3),
            (&[2, 3], 5),
            (&[usize::MAX, 3], 3),
        ] {
            errors.push(packed(shape, len));
        }
        for error in errors {
            let text = error.unwrap_err().to_string();
            assert!(text.contains("mix.vectors of shape") && text.contains("3]"), "{text}");
        }
    }
}
