//! Sums of two tensors. On the CPU, all threads add.

use burn::Tensor;
use burn::tensor::FloatDType;

use super::cpu::{CpuValues, CpuValuesMut, is_plain_cpu, new_tensor};
use crate::nets::like;
use cpu_kernels::channels::Channels;
use cpu_kernels::elementwise;

/// Adds two tensors, or subtracts the second if `sign` is −1. The sum has the type of the first and
/// reuses its memory if nothing else holds it.
pub(crate) fn add_or_subtract(stream: Tensor<5>, branch: Tensor<5>, sign: f32) -> Tensor<5> {
    let branch = like(branch, &stream);
    if !is_plain_cpu(&stream) {
        return if sign < 0.0 { stream - branch } else { stream + branch };
    }
    let (shape, branch) = (stream.dims(), CpuValues::new(&branch));
    let (all, x) = (branch.slice().len(), Channels::new(branch.slice(), None));
    match CpuValuesMut::reusing(stream) {
        Ok(mut sum) => {
            elementwise::add(x, sum.slice(), 1, 0..all, None, sign);
            sum.tensor(FloatDType::F32)
        }
        Err(stream) => new_tensor(elementwise::sum(x, stream.slice(), 1, sign), shape),
    }
}
