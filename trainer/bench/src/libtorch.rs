//! The networks in libtorch: the reference that `rewind-bench step --against libtorch` compares with.
//!
//! Built from the same description as burn's modules ([`model_core::network::layers`]) and fed with the same
//! weights, so that both are one function. Plain, libtorch's own autograd stores what it needs.
//! Reversible, it is done the way RevTorch does it for PyTorch (Brügger et al. 2019,
//! <https://github.com/RobinBruegger/RevTorch>): sequences run without a graph and keep their output
//! alone, and the backward pass takes them block by block.

mod layers;
mod network;
mod pieces;
mod rewind;
#[cfg(test)]
mod tests;

use anyhow::{Result, bail, ensure};
use burn::tensor::FloatDType;
use tch::{Cuda, Device, Kind};

pub use network::{Network, numbers, tensor};

/// libtorch's device of a name as `--device` takes it.
///
/// # Errors
/// For a device that libtorch does not have here.
pub fn device(name: &str) -> Result<Device> {
    let (kind, number) = name.split_once(':').unwrap_or((name, "0"));
    match (kind, number.parse::<usize>()) {
        ("cpu", Ok(0)) => Ok(Device::Cpu),
        ("cuda", Ok(number)) => {
            let found = if Cuda::is_available() { Cuda::device_count() } else { 0 };
            ensure!(
                (number as i64) < found,
                "--device {name}: expected such a device in libtorch, found {found}"
            );
            Ok(Device::Cuda(number))
        }
        _ => bail!("--device: expected cpu, cuda or cuda:N against libtorch, found {name:?}"),
    }
}

/// Waits until a device has done what it was asked for.
pub fn synchronize(device: Device) {
    if let Device::Cuda(number) = device {
        Cuda::synchronize(number as i64);
    }
}

/// The type of a name of burn's.
///
/// # Errors
/// For a type that libtorch does not convolve in.
pub fn kind(float: FloatDType) -> Result<Kind> {
    match float {
        FloatDType::F32 => Ok(Kind::Float),
        FloatDType::F16 => Ok(Kind::Half),
        FloatDType::BF16 => Ok(Kind::BFloat16),
        other => bail!("expected f32, f16 or bf16 against libtorch, found {other:?}"),
    }
}
