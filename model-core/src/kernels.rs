//! The operations that dominate training time, as custom burn ops with hand-written gradients.
//!
//! Each op has a trait with one implementation per backend, and one gradient shared by all
//! backends. The CPU kernels run on rayon over channels and planes, with inner loops that the
//! compiler vectorizes. The GPU kernels are written in CubeCL, one source for CUDA and wgpu.
//! Reductions run in a fixed order, so results are reproducible bit for bit.

mod add;
mod autodiff;
mod bilinear;
pub mod conv3;
mod conv_input;
mod cpu;
#[cfg(feature = "gpu")]
mod cube;
pub mod depthwise;
pub mod group_norm;
mod halves;
mod kernel_input;
pub mod loss;
pub mod max_pool;
mod memory;
mod place;
pub mod pointwise;
pub mod profiler;
mod seeded_loss;
pub mod space_to_depth;
pub mod upsample;

pub(crate) use autodiff::{Parent, on_backend, primitive, record};
pub(crate) use bilinear::Bilinear;
pub(crate) use conv_input::StreamInput;
pub use conv_input::{ConvInput, DeferredGroupNorm};
pub use conv3::conv3;
pub use depthwise::depthwise_conv3;
pub(crate) use group_norm::{GroupNormKernels, add_kernel_input};
pub use group_norm::{add_branch, group_norm};
pub(crate) use halves::{concat_channels, split_channels};
pub(crate) use kernel_input::KernelInput;
pub use max_pool::max_pool2;
pub(crate) use max_pool::max_pool2_of_skip;
pub(crate) use memory::num_elements;
pub use memory::{DeviceKind, OpMemory, OpShape};
pub(crate) use place::Place;
pub use pointwise::pointwise_conv;
pub(crate) use seeded_loss::seeded_loss;
pub use space_to_depth::{depth_to_space, space_to_depth};
pub(crate) use upsample::upsample2_add_recovered;
pub use upsample::{upsample2, upsample2_add};

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, FloatDType, Tensor};

    pub fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
    }

    pub type Inputs = (Tensor<5>, Tensor<4>);

    fn values<const D: usize>(tensor: Option<Tensor<D>>) -> Vec<f32> {
        let data = |t: Tensor<D>| t.cast(FloatDType::F32).into_data();
        tensor.map_or(Vec::new(), |t| data(t).try_into_vec::<f32>().unwrap())
    }

    /// Returns the output and the gradients of both inputs, for a fixed gradient of the output.
    pub fn run(inputs: &Inputs, op: impl Fn(Inputs) -> Tensor<5>) -> [Vec<f32>; 3] {
        let x = inputs.0.clone().autodiff().require_grad();
        let parameters = inputs.1.clone().autodiff().require_grad();
        let y = op((x.clone(), parameters.clone()));
        let plain = op(inputs.clone());
        assert_eq!(
            values(Some(plain)),
            values(Some(y.clone().inner())),
            "with and without autodiff"
        );
        // burn's random generator is shared by all threads, and both runs need the same gradient.
        // Its values are exact in f16.
        let wave = (0..y.shape().num_elements())
            .map(|n| ((n as f32 * 0.7).sin() * 256.0).round() / 256.0)
            .collect::<Vec<_>>();
        let wave = burn::tensor::TensorData::new::<f32, _>(wave, y.shape());
        let seed = Tensor::<5>::from_data(wave, &y.device()).cast(FloatDType::from(y.dtype()));
        let mut gradients = (y.clone() * seed).sum().backward();
        let input_grad = x.grad_remove(&mut gradients);
        let parameter_grad = parameters.grad_remove(&mut gradients);
        [values(Some(y.inner())), values(input_grad), values(parameter_grad)]
    }

    /// Asserts that two ops agree in the output and in both gradients.
    pub fn assert_same(
        inputs: &Inputs,
        own: impl Fn(Inputs) -> Tensor<5>,
        stock: impl Fn(Inputs) -> Tensor<5>,
    ) {
        let (own, stock) = (run(inputs, own), run(inputs, stock));
        for (what, (a, b)) in ["output", "of x", "of parameters"].iter().zip(own.iter().zip(&stock))
        {
            assert_eq!(a.len(), b.len(), "{what}");
            let largest = b.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
            let worst = a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst / largest < 2e-5, "{what}: {worst} of {largest}, {:?}", inputs.0.dims());
        }
    }
}
