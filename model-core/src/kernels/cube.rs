//! Shared parts of the GPU kernels: burn's GPU tensors as buffers, launches that fit the hardware,
//! and the second level of a reduction.
//!
//! A kernel reads and writes tensors in their own type and computes in f32. It uses at most what
//! all hardware offers: 256 units per cube and 16 KiB of shared memory.

mod norm;
mod sum;

use burn::Tensor;
use burn::backend::Cube;
use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::{empty_device_contiguous_dtype, full_device_dtype};
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

pub(super) use norm::{ChannelAffine, arguments, map_norm, normalized};
pub(super) use sum::sum_units;

/// Units per cube.
pub(super) const UNITS: usize = 256;

/// Returns a tensor's buffer, contiguous. Copied only if the tensor is not.
///
/// # Panics
/// Panics if the tensor is not on a GPU, or is tracked by autodiff.
pub(super) fn contiguous<const D: usize>(tensor: &Tensor<D>) -> CubeTensor {
    owned(tensor.clone())
}

/// Returns a tensor's buffer, contiguous, and gives up the tensor, so that the buffer may be
/// overwritten.
pub(super) fn owned<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    let tensor = tensor.try_into_primitive::<Cube>();
    into_contiguous(tensor.expect("a GPU tensor without autodiff"))
}

/// Returns the output buffer of an elementwise kernel whose input `x` is argument `position`: `x`
/// itself if nothing else holds it, otherwise a new buffer. Each unit must write only the values
/// that it alone reads.
pub(super) fn in_place_output(x: &CubeTensor, position: usize) -> (CubeTensor, BufferArg) {
    if x.can_mut() {
        return (x.clone(), BufferArg::alias(position, x.meta.shape().num_elements()));
    }
    let output = empty(x.meta.shape().dims::<5>(), x.dtype, x);
    (output.clone(), output.into_buffer_arg())
}

/// Allocates an uninitialized buffer on the device of `like`, for a kernel that writes every value.
/// Tests fill it with NaN.
pub(super) fn empty<const D: usize>(
    shape: [usize; D],
    dtype: DType,
    like: &CubeTensor,
) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    if cfg!(test) {
        let nan = InputScalar::new(f32::NAN, float(dtype));
        return into_contiguous(full_device_dtype(client, Shape::new(shape), device, nan, dtype));
    }
    empty_device_contiguous_dtype(client, device, Shape::new(shape), dtype)
}

/// Converts a buffer to burn's tensor.
pub(super) fn tensor<const D: usize>(tensor: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<Cube>(tensor)
}

/// Converts a tensor's type to CubeCL's.
///
/// # Panics
/// Panics for types other than f32, f16 and bf16.
pub(super) fn float(dtype: DType) -> ElemType {
    ElemType::Float(match dtype {
        DType::F32 => FloatKind::F32,
        DType::F16 => FloatKind::F16,
        DType::BF16 => FloatKind::BF16,
        other => panic!("expected a tensor of f32, f16 or bf16, found {other:?}"),
    })
}

/// Returns whether the hardware has matrix units for this type. f32 is never rounded to a shorter
/// type.
pub(super) fn has_matrix_units(x: &CubeTensor) -> bool {
    let float = float(x.dtype);
    let units = &x.client.properties().features.matmul.cmma;
    x.dtype != DType::F32 && units.iter().any(|unit| unit.a_type == float)
}

/// Returns the index type that addresses every value of these tensors.
pub(super) fn indices<const N: usize>(tensors: [&CubeTensor; N]) -> AddressType {
    let types = tensors.into_iter().map(CubeTensor::required_address_type);
    types.max().unwrap_or_default()
}

/// Returns at least `count` cubes, spread over the axes of the hardware's grid. `CUBE_POS` numbers
/// them; a kernel must end the surplus ones.
pub(super) fn cubes(count: usize, like: &CubeTensor) -> CubeCount {
    let (x, y, z) = like.client.properties().hardware.max_cube_count;
    let most = [x, y, z].map(|most| most as usize);
    let x = count.min(most[0]);
    let y = count.div_ceil(x.max(1)).min(most[1]);
    let z = count.div_ceil((x * y).max(1));
    assert!(z <= most[2], "expected work for at most {most:?} cubes, found {count}");
    CubeCount::Static(x as u32, y as u32, z as u32)
}

/// Returns the number of values that a unit moves at once: a size that the hardware moves well and
/// that divides `run`.
pub(super) fn vector_size(run: usize, like: &CubeTensor) -> usize {
    let mut sizes = like.client.io_optimized_vector_sizes(like.dtype.size());
    sizes.find(|size| run.is_multiple_of(*size)).unwrap_or(1)
}

/// Second level of a reduction: adds the partial sums of the cubes, in a fixed order.
///
/// # Shapes
/// - partials: `[group, part, each]`, f32
/// - output: `shape`, with as many values as `[group, each]`
pub(super) fn add_partial_sums<const D: usize>(
    partials: CubeTensor,
    shape: [usize; D],
    dtype: DType,
) -> CubeTensor {
    let [groups, parts, each] = partials.meta.shape().dims();
    let output = empty(shape, dtype, &partials);
    let count = groups * each;
    // Safety: a unit reads one value of each part of its group and writes its own value.
    unsafe {
        add_parts_kernel::launch_unchecked(
            &output.client,
            cubes(count.div_ceil(UNITS), &output),
            CubeDim::new_1d(UNITS as u32),
            indices([&partials, &output]),
            partials.clone().into_buffer_arg(),
            output.clone().into_buffer_arg(),
            count,
            parts,
            each,
            float(dtype),
        );
    }
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn add_parts_kernel<F: Float>(
    partials: &[f32],
    output: &mut [F],
    count: usize,
    parts: usize,
    each: usize,
    #[define(F)] _float: ElemType,
) {
    if ABSOLUTE_POS >= count {
        terminate!();
    }
    let start = (ABSOLUTE_POS / each) * parts * each + ABSOLUTE_POS % each;
    let mut sum = 0.0f32;
    for part in 0..parts {
        sum += partials[start + part * each];
    }
    output[ABSOLUTE_POS] = F::cast_from(sum);
}

#[cfg(test)]
pub(super) mod tests {
    use burn::tensor::{Device, FloatDType, Tensor};
    use burn_cubecl::CubeDevice;

    use super::super::tests::{Inputs, run};

    /// Returns a GPU, or the software device of the graphics driver; prints a line if there is
    /// none.
    pub fn device() -> Option<Device> {
        // The loader may panic if a driver is missing.
        let found = std::panic::catch_unwind(|| CubeDevice::enumerate_all().into_iter().next());
        let device = found.ok().flatten().map(Device::new);
        if device.is_none() {
            println!("skipped: no GPU, or none whose driver this build has");
        }
        device
    }

    fn on<const D: usize>(tensor: &Tensor<D>, device: &Device, float: FloatDType) -> Tensor<D> {
        Tensor::<D>::from_data(tensor.to_data(), device).cast(float)
    }

    /// Asserts that an op on the GPU, in f32 and in f16, agrees with the op on the CPU in f32:
    /// output and gradients.
    ///
    /// # Shapes
    /// - inputs: on the CPU, in f32
    pub fn assert_gpu_matches_cpu(inputs: &Inputs, op: impl Fn(Inputs) -> Tensor<5>) {
        let Some(gpu) = device() else { return };
        for (float, bound) in [(FloatDType::F32, 2e-5), (FloatDType::F16, 2e-3)] {
            let run =
                |device| run(&(on(&inputs.0, device, float), on(&inputs.1, device, float)), &op);
            let (gpu, cpu) = (run(&gpu), run(&Device::flex()));
            let names = ["output", "of x", "of parameters"];
            for (what, (a, b)) in names.iter().zip(gpu.iter().zip(&cpu)) {
                assert_eq!(a.len(), b.len(), "{what}");
                let largest = b.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
                let is_same = |(a, b): (&f32, &f32)| (a - b).abs() < bound * largest;
                let wrong = a.iter().zip(b).position(|pair| !is_same(pair));
                if let Some(n) = wrong {
                    let shapes = (inputs.0.dims(), inputs.1.dims());
                    panic!(
                        "{what} in {float:?} at {n} of {}: {} on the GPU, {} on the CPU; {shapes:?}",
                        a.len(),
                        a[n],
                        b[n]
                    );
                }
            }
        }
    }
}
