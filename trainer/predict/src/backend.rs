//! What networks run on: a device of burn's, or the WGSL engine on a GPU.

use std::rc::Rc;

use anyhow::Result;
use burn::tensor::Device;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::wgsl::Gpu;
use trainer_train::device::{self, DeviceId};

/// Which software runs the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    /// burn, as in training: on the CPU, or on the GPUs that this build has features for.
    #[default]
    Burn,
    /// The WGSL engine of the page: on any GPU through Vulkan, Metal or DirectX 12, without CUDA.
    Wgsl,
}

/// What networks run on.
#[derive(Clone)]
pub enum Backend {
    /// A device of burn's, without gradients.
    Burn(Device),
    /// A GPU.
    Wgsl(Rc<Gpu>),
}

impl From<&Device> for Backend {
    fn from(device: &Device) -> Backend {
        Backend::Burn(device.clone().without_autodiff())
    }
}

impl Backend {
    /// The WGSL engine, on the fastest GPU that there is.
    ///
    /// # Errors
    /// Without a usable GPU.
    pub fn wgsl() -> Result<Backend> {
        Ok(Backend::Wgsl(Rc::new(Gpu::open()?)))
    }

    /// Which it is.
    pub fn engine(&self) -> EngineName {
        match self {
            Backend::Burn(_) => EngineName::Burn,
            Backend::Wgsl(_) => EngineName::Wgsl,
        }
    }

    /// Its name for records.
    pub fn describe(&self) -> String {
        match self {
            Backend::Burn(device) => device::describe(device),
            Backend::Wgsl(gpu) => gpu.name().to_string(),
        }
    }

    /// Whether it is burn's CPU.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Backend::Burn(device) if DeviceId::of(device).is_cpu())
    }
}
