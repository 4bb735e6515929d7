//! The parameters of a network as arrays, by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::network::config::UNetConfig;
use crate::network::layers::parameters;
use crate::{Error, Result};

/// Values in row-major order with their shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Length of each axis, slowest first.
    pub shape: Vec<usize>,
    /// The values; their number is the product of the shape.
    pub values: Vec<f32>,
}

/// Parameters with the names and shapes of [`parameters`].
pub type Weights = BTreeMap<String, Array>;

/// Checks that weights are exactly those of the network, and finite.
///
/// # Errors
/// [`Error::Network`] with the first parameter that differs.
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
    let wanted: BTreeSet<&str> = wanted.iter().map(|parameter| parameter.name.as_str()).collect();
    match weights.keys().find(|name| !wanted.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::network("no further parameters", format!("{name:?}"))),
    }
}

/// Returns the orthogonal matrix `[c, c]`, row-major, W = H₁ H₂ … Hᵣ of the reflections H = I − 2 v
/// vᵀ / vᵀv in the rows v of `vectors` `[r, c]`. A zero vector reflects nothing. Computed in f64,
/// so that W Wᵀ is the identity to the last digits of f32.
///
/// # Panics
/// Panics if `vectors` is not two-dimensional or its shape disagrees with the number of values.
pub fn orthogonal(vectors: &Array) -> Vec<f32> {
    let [num_vectors, num_channels] = vectors.shape[..] else {
        panic!("expected reflections of shape [r, c], found {:?}", vectors.shape)
    };
    assert_eq!(vectors.values.len(), num_vectors * num_channels, "numbers of {:?}", vectors.shape);
    // Squares of f32 values neither overflow nor underflow in f64.
    let square = |v: &[f32]| v.iter().map(|&v| (v as f64).powi(2)).sum::<f64>();
    let vectors = vectors.values.chunks_exact(num_channels.max(1));
    let vectors: Vec<_> = vectors.map(|v| (v, square(v))).filter(|(_, sq)| *sq != 0.0).collect();
    let mut matrix = Vec::with_capacity(num_channels * num_channels);
    // A row of W is a row of the identity times H₁, then H₂ and so on.
    for at in 0..num_channels {
        let mut row = vec![0.0_f64; num_channels];
        row[at] = 1.0;
        for (v, squared) in &vectors {
            let along: f64 = row.iter().zip(*v).map(|(x, &v)| x * v as f64).sum();
            let twice = 2.0 * along / squared;
            row.iter_mut().zip(*v).for_each(|(x, &v)| *x -= twice * v as f64);
        }
        matrix.extend(row.into_iter().map(|x| x as f32));
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn random(shape: [usize; 2]) -> Array {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let values = (0..shape[0] * shape[1]).map(|_| rng.random_range(-1.0..1.0)).collect();
        Array { shape: shape.to_vec(), values }
    }

    /// (1, 2): I − 2/5 · [[1, 2], [2, 4]].
    #[test]
    fn one_reflection_is_the_one_made_by_hand() {
        let found = orthogonal(&Array { shape: vec![1, 2], values: vec![1.0, 2.0] });
        assert_eq!(found, [0.6, -0.8, -0.8, -0.6]);
    }

    #[test]
    fn the_matrix_is_orthogonal() {
        for [num_vectors, num_channels] in [[1, 1], [2, 5], [8, 64], [40, 33]] {
            let matrix = orthogonal(&random([num_vectors, num_channels]));
            for (a, x) in matrix.chunks_exact(num_channels).enumerate() {
                for (b, y) in matrix.chunks_exact(num_channels).enumerate() {
                    let product: f64 = x.iter().zip(y).map(|(x, y)| *x as f64 * *y as f64).sum();
                    let expected = if a == b { 1.0 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-6, "{a} {b}: {product}");
                }
            }
        }
    }

    /// W x = H₁ (H₂ (… x)): the last vector reflects first.
    #[test]
    fn the_matrix_reflects_in_one_vector_after_the_other() {
        let vectors = random([3, 7]);
        let x: Vec<f64> = (0..7).map(|n| (n as f64).sin()).collect();
        let mut expected = x.clone();
        for v in vectors.values.chunks_exact(7).rev() {
            let dot: f64 = expected.iter().zip(v).map(|(x, &v)| x * v as f64).sum();
            let squared: f64 = v.iter().map(|&v| v as f64 * v as f64).sum();
            expected.iter_mut().zip(v).for_each(|(x, &v)| *x -= 2.0 * dot / squared * v as f64);
        }
        for (row, expected) in orthogonal(&vectors).chunks_exact(7).zip(expected) {
            let found: f64 = row.iter().zip(&x).map(|(w, x)| *w as f64 * x).sum();
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn a_zero_vector_reflects_nothing_however_small_or_large_the_others_are() {
        let identity = orthogonal(&Array { shape: vec![2, 2], values: vec![0.0; 4] });
        assert_eq!(identity, [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(orthogonal(&Array { shape: vec![0, 2], values: Vec::new() }), identity);
        for size in [f32::from_bits(1), f32::MAX] {
            let found = orthogonal(&Array { shape: vec![2, 2], values: vec![0.0, 0.0, size, 0.0] });
            assert_eq!(found, [-1.0, 0.0, 0.0, 1.0], "{size}");
        }
    }
}
