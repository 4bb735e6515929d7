//! A learned orthogonal 1³ convolution, as a product of Householder reflections.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, FloatDType, Tensor};

use super::{cast, like};
use crate::kernels::{OpMemory, OpShape};

/// y = W x over the channels, with W = H₁ H₂ … Hᵣ and Hₘ = I − 2 u uᵀ for the normalized rows u of
/// `vectors`. The inverse is the transpose.
///
/// W is never formed. With the normalized rows U, W = I − Uᵀ T U (the compact WY form; Joffrain et
/// al. 2006, "Accumulating Householder transformations, revisited"). That takes 2rc + r² instead of
/// c² multiply-adds per voxel.
#[derive(Module, Debug)]
pub struct Reflection {
    /// `[r, c]`. Only the directions of the rows matter.
    pub vectors: Param<Tensor<2>>,
}

impl Reflection {
    /// Creates `reflections` random reflections of `channels` channels.
    pub fn new(reflections: usize, channels: usize, device: &Device) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std: 1.0 };
        Reflection { vectors: normal.init([reflections, channels], device) }
    }

    /// # Shapes
    /// - x, output: `[b, c, k, j, i]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.apply(x, false)
    }

    /// # Shapes
    /// - y, output: `[b, c, k, j, i]`
    pub fn inverse(&self, y: Tensor<5>) -> Tensor<5> {
        self.apply(y, true)
    }

    fn apply(&self, x: Tensor<5>, transposed: bool) -> Tensor<5> {
        let shape @ [b, c, k, j, i] = x.dims();
        let vectors = cast(self.vectors.val(), FloatDType::F32);
        // The lower bound keeps a zero vector finite; it reflects nothing.
        let lengths = vectors.clone().square().sum_dim(1).clamp_min(1e-30).sqrt();
        let u = vectors / lengths;
        let t = factor(u.clone());
        let t = if transposed { t.transpose() } else { t };
        let (u, t) = (like(u, &x).unsqueeze::<3>(), like(t, &x).unsqueeze::<3>());
        let x = x.reshape([b, c, k * j * i]);
        let projected = t.matmul(u.clone().matmul(x.clone()));
        (x - u.transpose().matmul(projected)).reshape(shape)
    }
}

/// Memory of [`Reflection`]: the matrix products keep their inputs, and the backward pass holds the
/// negated gradient.
pub fn reflection_memory(op_shape: &OpShape, reflections: usize) -> OpMemory {
    let projections = 2 * op_shape.num_elements(reflections) * op_shape.float_bytes;
    OpMemory {
        keeps_input: true,
        kept_bytes: projections,
        backward_bytes: op_shape.num_input_elements() * op_shape.float_bytes + projections,
        ..OpMemory::default()
    }
}

/// Returns T of I − Uᵀ T U: the upper triangular matrix with T⁻¹ = ½ I + the part of U Uᵀ above the
/// diagonal. So T = 2 (I − M)⁻¹ with nilpotent M, and (I − M)⁻¹ = (I + M)(I + M²)(I + M⁴)… is exact
/// after log₂ r factors.
///
/// # Shapes
/// - u: `[r, c]`
/// - output: `[r, r]`
fn factor(u: Tensor<2>) -> Tensor<2> {
    let r = u.dims()[0];
    let mut m = u.clone().matmul(u.transpose()).triu(1).mul_scalar(-2.0);
    let mut t = Tensor::eye(r, &m.device()) + m.clone();
    let mut power = 2;
    while power < r {
        m = m.clone().matmul(m);
        t = t.clone() + t.matmul(m.clone());
        power *= 2;
    }
    t.mul_scalar(2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    fn largest(x: Tensor<5>) -> f32 {
        x.abs().max().into_scalar()
    }

    #[test]
    fn inverse_recovers_the_input_and_lengths_are_kept() {
        let device = Device::flex();
        device.seed(3);
        for (reflections, channels) in [(1, 4), (3, 8), (16, 64)] {
            let layer = Reflection::new(reflections, channels, &device);
            let x = Tensor::<5>::random([2, channels, 2, 3, 2], Distribution::Default, &device);
            let y = layer.forward(x.clone());
            assert!(largest(layer.inverse(y.clone()) - x.clone()) < 1e-5);
            let difference = y.clone().square().sum_dim(1) - x.clone().square().sum_dim(1);
            assert!(largest(difference) < 1e-4);
            assert!(largest(y - x) > 0.1, "{reflections} of {channels}: nothing was mixed");
        }
    }

    /// Applies the reflections one by one; that of the last row comes first.
    #[test]
    fn reflects_by_each_row_in_turn() {
        let device = Device::flex();
        let layer = Reflection::new(3, 4, &device);
        let x = Tensor::<5>::random([1, 4, 1, 1, 5], Distribution::Default, &device);
        let mut expected = x.clone().reshape([4, 5]);
        for row in (0..3).rev() {
            let v = layer.vectors.val().narrow(0, row, 1);
            let length: f32 = v.clone().square().sum().into_scalar();
            let along = v.clone().matmul(expected.clone());
            expected = expected - v.transpose().matmul(along).mul_scalar(2.0 / length);
        }
        assert!(largest(layer.forward(x) - expected.reshape([1, 4, 1, 1, 5])) < 1e-5);
    }
}
