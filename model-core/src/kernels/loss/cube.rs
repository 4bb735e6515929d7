//! Passes of the losses over all voxels, on a GPU.

// A kernel takes its buffers and sizes one by one.
#![allow(clippy::too_many_arguments)]

mod kernels;

use burn::Tensor;
use burn::backend::Cube;
use burn::tensor::{DType, Shape};
use burn_cubecl::tensor::CubeTensor;
use cubecl::CubeElement;
use cubecl::prelude::*;

use super::super::cube::{UNITS, contiguous, cubes, empty, indices, tensor};
use super::passes::{LossDerivatives, LossTarget, VoxelPasses, VoxelSums};
use kernels::STRIDES;

/// The logits and labels of a batch on the device.
pub struct Batch {
    logits: CubeTensor,
    /// Four codes per word; each sample begins at a word.
    codes: CubeTensor,
    /// For each output, `WORDS` words with one bit per label code.
    members: CubeTensor,
    exclusive: bool,
    focal_weights: [f32; 2],
}

impl Batch {
    pub fn new(logits: &Tensor<5>, labels: &[u8], question: LossTarget) -> Batch {
        let logits = contiguous(logits);
        assert_eq!(logits.dtype, DType::F32, "logits in f32");
        let [batch, ..] = logits.meta.shape().dims::<5>();
        let samples = labels.chunks((labels.len() / batch).max(1));
        let words = samples.flat_map(|sample| sample.chunks(4)).map(|codes| {
            let place = |(n, code): (usize, &u8)| u32::from(*code) << (8 * n);
            codes.iter().enumerate().map(place).sum()
        });
        let words: Vec<u32> = words.collect();
        let bits = question.members.iter().flat_map(|members| members.chunks(32)).map(|members| {
            let place = |(n, member): (usize, &bool)| u32::from(*member) << n;
            members.iter().enumerate().map(place).sum()
        });
        let bits: Vec<u32> = bits.collect();
        Batch {
            codes: buffer(&words, &logits),
            members: buffer(&bits, &logits),
            exclusive: question.exclusive,
            focal_weights: question.focal_weights,
            logits,
        }
    }

    fn dims(&self) -> [usize; 3] {
        let [batch, outputs, k, j, i] = self.logits.meta.shape().dims::<5>();
        [batch, outputs, k * j * i]
    }
}

/// Uploads values to the device of `like`.
fn buffer<N: CubeElement>(num_elements: &[N], like: &CubeTensor) -> CubeTensor {
    let handle = like.client.create_from_slice(N::as_bytes(num_elements));
    let (client, device) = (like.client.clone(), like.device.clone());
    CubeTensor::new_contiguous(client, device, Shape::new([num_elements.len()]), handle, DType::U32)
}

impl VoxelPasses for Batch {
    fn sums(&self) -> Vec<VoxelSums> {
        let [batch, outputs, voxels] = self.dims();
        let parts = voxels.div_ceil(UNITS * STRIDES);
        let num_cubes = batch * parts * outputs;
        let partials = empty([batch * parts, outputs, 7], DType::F32, &self.logits);
        // Safety: a cube reads the logits and codes of its part of one sample and writes its own
        // seven values.
        unsafe {
            kernels::sums_kernel::launch_unchecked(
                &self.logits.client,
                cubes(num_cubes, &self.logits),
                CubeDim::new_1d(UNITS as u32),
                indices([&self.logits]),
                self.logits.clone().into_buffer_arg(),
                self.codes.clone().into_buffer_arg(),
                self.members.clone().into_buffer_arg(),
                partials.clone().into_buffer_arg(),
                outputs,
                voxels,
                parts,
                num_cubes,
                self.focal_weights[0],
                self.focal_weights[1],
                self.exclusive,
            );
        }
        let partials: Tensor<3> = tensor::<3>(partials);
        let partials = partials.into_data().try_into_vec::<f32>().expect("partials in f32");
        let mut sums = vec![VoxelSums::default(); outputs];
        for (n, part) in partials.chunks_exact(7).enumerate() {
            let sum = &mut sums[n % outputs];
            let part = |n: usize| f64::from(part[n]);
            sum.predicted += part(0);
            sum.overlap += part(1);
            sum.reference += part(2);
            sum.decided += part(3);
            sum.decided_overlap += part(4);
            sum.cross_entropy += part(5);
            sum.focal += part(6);
        }
        sums
    }

    fn gradient(&self, slopes: LossDerivatives) -> Tensor<5> {
        let [batch, outputs, voxels] = self.dims();
        let by_probability = slopes.by_probability.iter().flat_map(|(all, there)| [*all, *there]);
        let by_probability: Vec<f32> = by_probability.collect();
        assert_eq!(by_probability.len(), 2 * outputs, "slopes for each output");
        let output = empty(self.logits.meta.shape().dims::<5>(), DType::F32, &self.logits);
        // Safety: a unit reads and writes one voxel in both buffers.
        unsafe {
            kernels::gradient_kernel::launch_unchecked(
                &self.logits.client,
                cubes((batch * voxels).div_ceil(UNITS), &self.logits),
                CubeDim::new_1d(UNITS as u32),
                indices([&self.logits]),
                self.logits.clone().into_buffer_arg(),
                self.codes.clone().into_buffer_arg(),
                self.members.clone().into_buffer_arg(),
                buffer(&by_probability, &self.logits).into_buffer_arg(),
                output.clone().into_buffer_arg(),
                outputs,
                voxels,
                batch * voxels,
                slopes.scale,
                self.focal_weights[0],
                self.focal_weights[1],
                self.exclusive,
                slopes.voxel_loss,
            );
        }
        Tensor::from_primitive::<Cube>(output)
    }
}
