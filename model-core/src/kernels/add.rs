//! Sums of two tensors. On the CPU, all threads add.

use burn::Tensor;
use burn::tensor::FloatDType;

use super::cpu::{CpuValues, CpuValuesMut, is_plain_cpu};
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
    let (mut sum, branch) = (CpuValuesMut::new(stream), CpuValues::new(&branch));
    let all = branch.slice().len();
    elementwise::add(Channels::new(branch.slice(), None), sum.slice(), 1, 0..all, None, sign);
    sum.tensor(FloatDType::F32)
}
