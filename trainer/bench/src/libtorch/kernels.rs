//! The operations of `rewind-bench kernels` in libtorch.

use anyhow::{Result, bail};
use burn::tensor::{self as burn_tensor, FloatDType};
use tch::{Kind, Tensor};

use crate::kernel_pass::{KernelPass, Operands, Operation, Pass, num_groups};
use crate::stopwatch::{median_secs, secs as secs_between};
use trainer_train::adam::numbers;
use trainer_train::device::describe;

/// Returns the median seconds of a pass.
///
/// libtorch's autograd starts from a number. So a gradient is computed through the sum of the product
/// of output and seed, and the time of that sum alone is subtracted.
///
/// # Errors
/// Errors if libtorch fails, or lacks the device or the operation.
pub fn secs(pass: KernelPass, operands: &Operands, num_runs: usize) -> Result<f64> {
    let operation = pass.operation;
    let device = super::device(&describe(&operands.x.device()))?;
    let wait = || {
        super::synchronize(device);
        Ok(())
    };
    let [x, weight] = [&operands.x, &operands.weight].map(|t| tensor(t, device));
    if pass.is_forward() {
        return median_secs(num_runs, || secs_between(wait, || apply(operation, &x, &weight)));
    }
    let x = x.set_requires_grad(pass.pass != Pass::WeightGradient);
    let weight = weight.set_requires_grad(pass.pass != Pass::InputGradient);
    let wanted: Vec<&Tensor> = [&x, &weight].into_iter().filter(|t| t.requires_grad()).collect();
    let seed = apply(operation, &x, &weight)?.detach().f_randn_like()?;
    let backward_secs = |y: &Tensor, wanted: &[&Tensor]| {
        let loss = y.f_mul(&seed)?.f_sum(Kind::Float)?;
        secs_between(wait, || Ok(Tensor::f_run_backward(&[&loss], wanted, false, false)?))
    };
    let total = median_secs(num_runs, || backward_secs(&apply(operation, &x, &weight)?, &wanted))?;
    let leaf = seed.f_zeros_like()?.set_requires_grad(true);
    let seeding = median_secs(num_runs, || backward_secs(&leaf, &[&leaf]))?;
    Ok((total - seeding).max(0.0))
}

fn apply(operation: Operation, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let conv = |padding: i64, groups: i64| {
        x.f_conv3d(weight, None::<&Tensor>, [1; 3], [padding; 3], [1; 3], groups)
    };
    Ok(match operation {
        Operation::Depthwise => conv(1, weight.size()[0])?,
        Operation::Pointwise => conv(0, 1)?,
        Operation::Conv3 => conv(1, 1)?,
        Operation::GroupNorm => {
            let channels = weight.size()[1];
            let affine = |n: i64| weight.f_narrow(0, n, 1)?.f_reshape([channels]);
            let groups = num_groups(channels as usize) as i64;
            x.f_group_norm(groups, Some(affine(0)?), Some(affine(1)?), 1e-5, true)?.f_relu()?
        }
        Operation::MaxPool => x.f_max_pool3d([2; 3], [2; 3], [0; 3], [1; 3], false)?,
        Operation::Upsample => upsample(x)?,
        Operation::UpsampleAdd => upsample(x)?.f_add(weight)?,
        Operation::Add => x.f_add(weight)?,
        Operation::Loss => bail!("none"),
    })
}

fn upsample(x: &Tensor) -> Result<Tensor> {
    let size: Vec<i64> = x.size()[2..].iter().map(|n| 2 * n).collect();
    Ok(x.f_upsample_trilinear3d(size, false, None, None, None)?)
}

/// Copies a tensor of burn's.
fn tensor(x: &burn_tensor::Tensor<5>, device: tch::Device) -> Tensor {
    let shape: Vec<i64> = x.dims().iter().map(|&n| n as i64).collect();
    let kind = match FloatDType::from(x.dtype()) {
        FloatDType::F16 => Kind::Half,
        FloatDType::BF16 => Kind::BFloat16,
        _ => Kind::Float,
    };
    Tensor::from_slice(&numbers(x.clone())).reshape(shape).to_kind(kind).to_device(device)
}
