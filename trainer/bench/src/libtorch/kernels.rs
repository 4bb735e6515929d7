//! The same operations in PyTorch's library, in this process.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use burn::tensor::{Device, FloatDType, Tensor};
use tch::Kind;

use super::passes::{Of, Op, Operands, Pass, groups};
use super::stopwatch::median;
use trainer_train::adam::numbers;
use trainer_train::device::DeviceId;

/// Median seconds of a pass. A gradient is asked for through a sum of products with its seed, since the
/// library's automatic gradient starts from a number; what the seed alone takes is subtracted.
///
/// # Errors
/// When the library fails, or has no such device.
pub fn secs(pass: Pass, operands: &Operands, repeat: usize, device: &Device) -> Result<f64> {
    let there = torch_device(device)?;
    let (x, weight) = (tensor(&operands.x, there), tensor(&operands.weight, there));
    if pass.of == Of::Forward {
        return median(repeat, || time(there, || apply(pass.op, &x, &weight)));
    }
    let x = x.set_requires_grad(pass.of != Of::Weight);
    let weight = weight.set_requires_grad(pass.of != Of::Input);
    let wanted: Vec<&tch::Tensor> = match pass.of {
        Of::Input => vec![&x],
        Of::Weight => vec![&weight],
        _ => vec![&x, &weight],
    };
    let seed = apply(pass.op, &x, &weight)?.detach().f_randn_like()?;
    let back = |y: &tch::Tensor, wanted: &[&tch::Tensor]| -> Result<f64> {
        let loss = y.f_mul(&seed)?.f_sum(Kind::Float)?;
        time(there, || Ok(tch::Tensor::f_run_backward(&[&loss], wanted, false, false)?))
    };
    let whole = median(repeat, || back(&apply(pass.op, &x, &weight)?, &wanted))?;
    let leaf = seed.f_zeros_like()?.set_requires_grad(true);
    let seeding = median(repeat, || back(&leaf, &[&leaf]))?;
    Ok((whole - seeding).max(0.0))
}

fn apply(op: Op, x: &tch::Tensor, weight: &tch::Tensor) -> Result<tch::Tensor> {
    let none = None::<&tch::Tensor>;
    let conv =
        |padding: i64, groups: i64| x.f_conv3d(weight, none, [1; 3], [padding; 3], [1; 3], groups);
    let channels = weight.size()[0];
    Ok(match op {
        Op::Depthwise => conv(1, channels)?,
        Op::Pointwise => conv(0, 1)?,
        Op::Conv3 => conv(1, 1)?,
        Op::GroupNorm => {
            let channels = weight.size()[1];
            let half = |n: i64| weight.f_narrow(0, n, 1)?.f_reshape([channels]);
            let groups = groups(channels as usize) as i64;
            x.f_group_norm(groups, Some(half(0)?), Some(half(1)?), 1e-5, true)?.f_relu()?
        }
        Op::MaxPool => x.f_max_pool3d([2; 3], [2; 3], [0; 3], [1; 3], false)?,
        Op::Upsample => doubled(x)?,
        Op::UpsampleAdd => doubled(x)?.f_add(weight)?,
        Op::Add => x.f_add(weight)?,
        Op::Loss => bail!("none"),
    })
}

fn doubled(x: &tch::Tensor) -> Result<tch::Tensor> {
    let doubled: Vec<i64> = x.size()[2..].iter().map(|n| 2 * n).collect();
    Ok(x.f_upsample_trilinear3d(doubled, false, None, None, None)?)
}

/// Between two waits for the device.
fn time<T>(device: tch::Device, f: impl Fn() -> Result<T>) -> Result<f64> {
    let wait = || {
        if let tch::Device::Cuda(number) = device {
            tch::Cuda::synchronize(number as i64);
        }
    };
    wait();
    let started = Instant::now();
    let y = f()?;
    wait();
    let secs = started.elapsed().as_secs_f64();
    drop(y);
    Ok(secs)
}

/// Returns the library's name of a device.
fn torch_device(device: &Device) -> Result<tch::Device> {
    match DeviceId::of(device) {
        DeviceId::Cpu => Ok(tch::Device::Cpu),
        DeviceId::Cuda(index) => {
            ensure!(tch::Cuda::is_available(), "this libtorch finds no CUDA device");
            Ok(tch::Device::Cuda(index))
        }
        _ => bail!("only on cpu and cuda"),
    }
}

fn tensor(x: &Tensor<5>, device: tch::Device) -> tch::Tensor {
    let shape: Vec<i64> = x.dims().iter().map(|&n| n as i64).collect();
    let kind = match FloatDType::from(x.dtype()) {
        FloatDType::F16 => Kind::Half,
        FloatDType::BF16 => Kind::BFloat16,
        _ => Kind::Float,
    };
    tch::Tensor::from_slice(&numbers(x.clone())).reshape(shape).to_kind(kind).to_device(device)
}
