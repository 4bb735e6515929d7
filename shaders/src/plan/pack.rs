//! An operation's parameters as its kernel reads them.

use model_core::{Op, Weights};

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
        Op::Decide { codes, .. } => {
            let codes: Vec<u32> = codes.iter().map(|&code| u32::from(code)).collect();
            return Ok(bytemuck::cast_slice(&codes).to_vec());
        }
        Op::AddInPlace { .. } | Op::MaxPool { .. } | Op::Upsample { .. } => Vec::new(),
    };
    Ok(bytemuck::cast_slice(&packed).to_vec())
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
