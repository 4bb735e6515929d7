//! Where networks run: on the processor, on a GPU by burn, or on a GPU by the WGSL engine.

use std::rc::Rc;

use anyhow::Result;
use burn::tensor::Device;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::wgsl::WgslGpu;
use trainer_train::device::{self, DeviceId};

/// The software that runs the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    /// The processor, by the engine of the page.
    Cpu,
    /// burn, as in training: on the GPUs that this build has features for.
    // Records without an engine are of burn, which once ran on the processor too.
    #[default]
    Burn,
    /// The WGSL engine of the page: on any GPU through Vulkan, Metal or DirectX 12, without CUDA.
    Wgsl,
}

/// The place where networks run.
#[derive(Clone)]
pub enum Backend {
    /// The processor.
    Cpu,
    /// A GPU of burn, without gradients.
    Burn(Device),
    /// A GPU of the WGSL engine.
    Wgsl(Rc<WgslGpu>),
}

impl From<&Device> for Backend {
    fn from(device: &Device) -> Backend {
        match DeviceId::of(device).is_cpu() {
            true => Backend::Cpu,
            false => Backend::Burn(device.clone().without_autodiff()),
        }
    }
}

impl Backend {
    /// Opens the fastest GPU for the WGSL engine.
    ///
    /// # Errors
    /// Errors if there is no usable GPU.
    pub fn wgsl() -> Result<Backend> {
        Ok(Backend::Wgsl(Rc::new(WgslGpu::open()?)))
    }

    /// Returns the software that runs the networks.
    pub fn engine(&self) -> EngineName {
        match self {
            Backend::Cpu => EngineName::Cpu,
            Backend::Burn(_) => EngineName::Burn,
            Backend::Wgsl(_) => EngineName::Wgsl,
        }
    }

    /// Returns the device's name for records.
    pub fn describe(&self) -> String {
        match self {
            Backend::Cpu => DeviceId::Cpu.to_string(),
            Backend::Burn(device) => device::describe(device),
            Backend::Wgsl(gpu) => gpu.name().to_string(),
        }
    }
}
