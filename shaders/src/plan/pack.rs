//! An operation's parameters as its kernel reads them.

use model_core::{Op, Weights, orthogonal};

use crate::Error;
use crate::kernels::{conv3, depthwise_conv, group_norm, pointwise_conv};

/// The packed parameters of `op`; nothing where it has none.
///
/// # Errors
/// [`Error::Program`] when a parameter is missing or of another shape.
pub fn pack(op: &Op, weights: &Weights) -> Result<Vec<u8>, Error> {
    let packed = match op {
        Op::Pointwise { from, to, weight, bias } => {
            let (num_to, num_from) = (to.channels.len(), from.channels.len());
            let weight = find(weights, weight, &[num_to, num_from])?;
            let bias = bias.as_ref().map(|bias| find(weights, bias, &[num_to])).transpose()?;
            pointwise_conv::pack(weight, bias, num_to, num_from)
        }
        Op::Conv3 { from, to, weight } => {
            let (num_to, num_from) = (to.channels.len(), from.channels.len());
            conv3::pack(find(weights, weight, &[num_to, num_from, 3, 3, 3])?, num_to, num_from)
        }
        Op::Depthwise3 { to, weight, .. } => {
            depthwise_conv::pack(find(weights, weight, &[to.channels.len(), 3, 3, 3])?)
        }
        Op::GroupNorm { to, gamma, beta, .. } => {
            let shape = [to.channels.len()];
            group_norm::pack(find(weights, gamma, &shape)?, find(weights, beta, &shape)?)
        }
        Op::Reflect { to, vectors, transposed, .. } => {
            let channels = to.channels.len();
            // There may be any number of reflections.
            let rows = weights.get(vectors).and_then(|array| array.shape.first());
            find(weights, vectors, &[rows.copied().unwrap_or(channels), channels])?;
            let matrix = orthogonal(&weights[vectors]);
            let matrix = if *transposed { transpose(&matrix, channels) } else { matrix };
            pointwise_conv::pack(&matrix, None, channels, channels)
        }
        Op::Decide { codes, .. } => {
            let codes: Vec<u32> = codes.iter().map(|&code| u32::from(code)).collect();
            return Ok(bytemuck::cast_slice(&codes).to_vec());
        }
        Op::AddInPlace { .. }
        | Op::MaxPool { .. }
        | Op::Upsample { .. }
        | Op::Squeeze { .. }
        | Op::Unsqueeze { .. } => Vec::new(),
    };
    Ok(bytemuck::cast_slice(&packed).to_vec())
}

/// The transpose of a matrix `[size, size]`.
fn transpose(matrix: &[f32], size: usize) -> Vec<f32> {
    (0..size * size).map(|at| matrix[at % size * size + at / size]).collect()
}

/// The values of a parameter.
///
/// # Errors
/// [`Error::Program`] when it is missing or of another shape.
pub fn find<'a>(weights: &'a Weights, name: &str, shape: &[usize]) -> Result<&'a [f32], Error> {
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
    use model_core::{Array, View};

    #[test]
    fn misshapen_reflections_are_refused_by_name() {
        let view = |buffer| View { buffer, channels: 0..3 };
        let (from, to) = (view(0), view(1));
        let op = Op::Reflect { from, to, vectors: "mix.vectors".into(), transposed: true };
        let packed = |shape: &[usize], len: usize| {
            let array = Array { shape: shape.to_vec(), values: vec![1.0; len] };
            pack(&op, &Weights::from([("mix.vectors".into(), array)]))
        };
        for rows in [0, 1, 3, 5] {
            let packed = packed(&[rows, 3], 3 * rows).unwrap();
            assert_eq!(packed.len() as u64, crate::footprint::packed_bytes(&op));
        }
        let mut errors = vec![pack(&op, &Weights::new())];
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
