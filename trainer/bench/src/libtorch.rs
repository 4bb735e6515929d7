//! The networks in libtorch, to compare with.
//!
//! They are built from the same description as burn's modules ([`model_core::network::layers`]) and
//! from the same weights, so both are one function. Non-reversible, libtorch's autograd stores what
//! it needs. Reversible, the networks follow RevTorch for PyTorch (Brügger et al. 2019,
//! <https://github.com/RobinBruegger/RevTorch>): sequences run without a graph and keep only their
//! output, and the backward pass inverts them block by block.

mod graph_ends;
pub mod kernels;
mod layers;
mod network;
mod rewind;
#[cfg(test)]
mod tests;
mod trainee;

use anyhow::{Result, bail, ensure};
use tch::{Cuda, Device, Kind, Tensor};

use trainer_run::config::Float;

pub use trainee::trainee;

/// Returns the device of a name, as in `--device`.
///
/// # Errors
/// Errors for a device that libtorch does not have here.
fn device(name: &str) -> Result<Device> {
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    match (kind, index.parse::<usize>()) {
        ("cpu", Ok(0)) => Ok(Device::Cpu),
        ("cuda", Ok(index)) => {
            let count = if Cuda::is_available() { Cuda::device_count() } else { 0 };
            ensure!(
                (index as i64) < count,
                "--device {name}: expected one of libtorch's {count} CUDA devices"
            );
            Ok(Device::Cuda(index))
        }
        _ => bail!("--device: expected cpu, cuda or cuda:N against libtorch, found {name:?}"),
    }
}

/// Waits until a device has computed everything.
fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

fn kind(float: Float) -> Kind {
    match float {
        Float::F32 => Kind::Float,
        Float::F16 => Kind::Half,
        Float::Bf16 => Kind::BFloat16,
    }
}

/// Returns values `[batch, channels, k, j, i]` on a device. `dims` are i, j, k.
fn tensor(values: &[f32], channels: usize, dims: [usize; 3], device: Device) -> Tensor {
    let [i, j, k] = dims.map(|n| n as i64);
    Tensor::from_slice(values).reshape([-1, channels as i64, k, j, i]).to_device(device)
}

/// Returns the values of a tensor.
fn to_vec(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_kind(Kind::Float).to_device(Device::Cpu).reshape([-1]);
    Vec::try_from(&flat).expect("one axis of f32")
}
