//! Devices by name: `--device cpu`, `wgpu`, `wgpu:1`, `cuda`, `cuda:1`.

use std::fmt;

use crate::precision::dtype;
use anyhow::{Result, bail, ensure};
use burn::backend::DispatchDevice;
use burn::tensor::Device;
use model_core::kernels::DeviceKind;

use trainer_run::config::TrainConfig;

/// Returns the device of a name; without a name, the best one that is compiled in and present.
///
/// # Errors
/// Errors for an unknown name, a device that is not compiled in (with the feature to build with), or
/// a device that this machine lacks.
pub fn device(name: Option<&str>) -> Result<Device> {
    let Some(name) = name else { return Ok(best()) };
    let (kind, number) = match name.split_once(':') {
        None => (name, 0),
        Some((kind, number)) => match number.parse() {
            Ok(number) => (kind, number),
            Err(_) => bail!("--device: expected a number after {kind}:, found {number:?}"),
        },
    };
    match kind {
        "cpu" if number == 0 => Ok(Device::flex()),
        "wgpu" | "cuda" => {
            let present = enumerate(kind)?;
            match present.get(number) {
                Some(device) => Ok(device.clone()),
                None => bail!("--device {name}: expected such a device, found {}", present.len()),
            }
        }
        _ => bail!("--device: expected cpu, wgpu, wgpu:N, cuda or cuda:N, found {name:?}"),
    }
}

/// Refuses a device that cannot repeat a run exactly, for settings that ask for that.
///
/// # Errors
/// Errors for a GPU: its library chooses kernels by timing them, and their sums differ in the last
/// digit.
pub fn check_deterministic(config: &TrainConfig, device: &Device) -> Result<()> {
    ensure!(
        !config.deterministic || DeviceId::of(device).is_cpu(),
        "settings: expected the device cpu with deterministic = true, the only one that promises \
         the same bytes twice; found {}",
        describe(device)
    );
    Ok(())
}

/// Refuses a device that does not compute in the types of the settings: not every GPU has f16, and
/// only some have bf16.
///
/// # Errors
/// Errors with the first such type.
pub fn check_precision(config: &TrainConfig, device: &Device) -> Result<()> {
    let plain = device.clone().without_autodiff();
    for float in [config.precision, config.stream.unwrap_or(config.precision)] {
        ensure!(
            plain.supports_dtype(dtype(float)),
            "settings: expected a precision that the device computes in, found {} on {}",
            float.name(),
            describe(device)
        );
    }
    Ok(())
}

/// The kind of a device, and its number or adapter.
///
/// Displayed as in the run's records: cpu, cuda:0, or wgpu with the kind of its adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceId {
    /// The CPU.
    Cpu,
    /// A GPU through CUDA, by its index.
    Cuda(usize),
    /// A GPU through wgpu (Vulkan, Metal, DirectX), by the kind of its adapter.
    Wgpu(String),
    /// A device that Rewind does not choose, by burn's description.
    Other(String),
}

impl DeviceId {
    /// Identifies a device.
    pub fn of(device: &Device) -> DeviceId {
        let device = device.clone().without_autodiff();
        match device.as_dispatch() {
            DispatchDevice::Flex(_) => DeviceId::Cpu,
            #[allow(unreachable_patterns)] // without the feature of a GPU
            _ => DeviceId::parse(&format!("{device:?}")),
        }
    }

    /// Parses burn's description of a GPU. The types of GPUs exist only in builds with their
    /// backends; the description is the same in all.
    fn parse(description: &str) -> DeviceId {
        let after = |what: &str| {
            let (_, rest) = description.split_once(what)?;
            rest.split([',', ' ', '}']).next()
        };
        let index = || after("index: ")?.parse().ok();
        let has = |word| description.contains(word);
        let known = match () {
            () if has("Cuda") => index().map(DeviceId::Cuda),
            () if has("Wgpu") => after("kind: ").map(|kind| DeviceId::Wgpu(kind.into())),
            () => None,
        };
        known.unwrap_or_else(|| DeviceId::Other(description.into()))
    }

    /// Returns whether the device is the CPU.
    pub fn is_cpu(&self) -> bool {
        *self == DeviceId::Cpu
    }

    /// Returns the kind of kernels that the device runs.
    pub fn kind(&self) -> DeviceKind {
        if self.is_cpu() { DeviceKind::Cpu } else { DeviceKind::Gpu }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            DeviceId::Cpu => f.write_str("cpu"),
            DeviceId::Cuda(index) => write!(f, "cuda:{index}"),
            DeviceId::Wgpu(adapter) => write!(f, "wgpu ({adapter})"),
            DeviceId::Other(description) => f.write_str(description),
        }
    }
}

/// Returns the name of a device for the run's records.
pub fn describe(device: &Device) -> String {
    DeviceId::of(device).to_string()
}

/// Returns the kind of kernels that a device of this name runs; the device need not be present.
///
/// # Errors
/// Errors for an unknown name.
pub fn kind(name: Option<&str>) -> Result<DeviceKind> {
    let Some(name) = name else { return Ok(DeviceId::of(&best()).kind()) };
    match name.split([':', '(']).next() {
        Some("cpu") => Ok(DeviceKind::Cpu),
        Some("wgpu" | "cuda") => Ok(DeviceKind::Gpu),
        _ => bail!("--device: expected cpu, wgpu or cuda, found {name:?}"),
    }
}

fn best() -> Device {
    let first = |kind| enumerate(kind).ok().and_then(|devices| devices.into_iter().next());
    first("cuda").or_else(|| first("wgpu")).unwrap_or_else(Device::flex)
}

/// Lists the present devices of a kind. A software adapter is listed only if the graphics driver's
/// settings ask for it.
fn enumerate(kind: &str) -> Result<Vec<Device>> {
    match kind {
        #[cfg(feature = "cuda")]
        "cuda" => Ok(listed(burn::tensor::DeviceType::Cuda)),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(listed(burn::tensor::DeviceType::Wgpu)),
        _ => bail!(
            "--device {kind}: this build has no {kind}; build with `cargo build -p trainer \
             --features {kind}`"
        ),
    }
}

/// Lists the devices of a driver. Without a driver the list is empty: its loader panics.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn listed(kind: burn::tensor::DeviceType) -> Vec<Device> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = std::panic::catch_unwind(|| Device::enumerate(kind).into_vec());
    std::panic::set_hook(hook);
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_called_by_short_names() {
        let name = |description: &str| DeviceId::parse(description).to_string();
        assert_eq!(name("Device<Cube(Cuda(CudaDevice { index: 3 }))>"), "cuda:3");
        let adapter = "WgpuDevice { kind: DiscreteGpu(1), backend: Auto }";
        assert_eq!(name(&format!("Device<Cube(Wgpu({adapter}))>")), "wgpu (DiscreteGpu(1))");
        assert_eq!(name("another"), "another");
    }

    #[test]
    fn the_cpu_is_always_there_and_others_name_their_feature() {
        assert_eq!(describe(&device(Some("cpu")).unwrap()), "cpu");
        if !cfg!(feature = "cuda") {
            let error = device(Some("cuda:1")).err().unwrap().to_string();
            assert!(error.contains("--features cuda"), "{error}");
        }
        for name in ["gpu", "cpu:1", "cuda:x", ""] {
            assert!(device(Some(name)).is_err(), "{name}");
        }
    }
}
