//! A network's parameters as plain numbers, by name.

use std::collections::BTreeMap;

use crate::config::{UNetConfig, parameters};
use crate::{Error, Result};

/// Numbers in row-major order with their shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The extent of each axis, slowest first.
    pub shape: Vec<usize>,
    /// As many numbers as the shape's product.
    pub values: Vec<f32>,
}

/// The parameters of a network, named and shaped as [`parameters`] lists them.
pub type Weights = BTreeMap<String, Array>;

/// Refuses weights that are not exactly those of the network, or not finite.
///
/// # Errors
/// [`Error::Network`], naming the first parameter that differs.
pub fn check_weights(config: &UNetConfig, weights: &Weights) -> Result<()> {
    let wanted = parameters(config);
    for parameter in &wanted {
        let expected = format!("parameter {} of shape {:?}", parameter.name, parameter.shape);
        let Some(array) = weights.get(&parameter.name) else {
            return Err(Error::network(expected, "none"));
        };
        let num_values: usize = parameter.shape.iter().product();
        if array.shape != parameter.shape || array.values.len() != num_values {
            let found = format!("shape {:?} with {} values", array.shape, array.values.len());
            return Err(Error::network(expected, found));
        }
        if !array.values.iter().all(|v| v.is_finite()) {
            return Err(Error::network(expected + " in finite numbers", "NaN or infinity"));
        }
    }
    match weights.keys().find(|name| wanted.iter().all(|p| p.name != **name)) {
        None => Ok(()),
        Some(name) => Err(Error::network("no further parameters", format!("{name:?}"))),
    }
}
