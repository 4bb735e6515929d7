//! Where tensors live: `--device cpu`, `wgpu`, `wgpu:1`, `cuda`, `cuda:1`.

use crate::precision::dtype;
use anyhow::{Result, bail, ensure};
use burn::tensor::Device;

use trainer_run::config::TrainConfig;

/// The device of a name, or the best one that is compiled in and present.
///
/// # Errors
/// For an unknown name, one that is not compiled in (with the feature to build with), or one that
/// this machine lacks.
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

/// Refuses a device that does not give the same bytes twice, where the settings want that.
///
/// # Errors
/// On a GPU: its library picks kernels by timing them, and their sums differ in the last digit.
pub fn check_deterministic(config: &TrainConfig, device: &Device) -> Result<()> {
    ensure!(
        !config.deterministic || describe(device) == "cpu",
        "settings: expected the device cpu with deterministic = true, the only one that promises \
         the same bytes twice; found {}",
        describe(device)
    );
    Ok(())
}

/// Refuses a device that does not compute in the types that the settings want.
///
/// # Errors
/// Names the first such type: not every GPU has f16, and bf16 only some.
pub fn check_precision(config: &TrainConfig, device: &Device) -> Result<()> {
    let plain = device.clone().without_autodiff();
    for float in [config.precision, config.stream] {
        ensure!(
            plain.supports_dtype(dtype(float)),
            "settings: expected a precision that the device computes in, found {} on {}",
            float.name(),
            describe(device)
        );
    }
    Ok(())
}

/// A device's name for the run's records: cpu, cuda:0, or wgpu with the kind of its adapter.
pub fn describe(device: &Device) -> String {
    name(&format!("{device:?}"))
}

/// From burn's description of a device, which is the only way to ask it.
fn name(text: &str) -> String {
    let after = |what: &str| {
        let (_, rest) = text.split_once(what)?;
        rest.split([',', ' ', '}']).next()
    };
    match (text, after("index: "), after("kind: ")) {
        (text, ..) if text.contains("Flex") => "cpu".into(),
        (text, Some(index), _) if text.contains("Cuda") => format!("cuda:{index}"),
        (text, _, Some(kind)) if text.contains("Wgpu") => format!("wgpu ({kind})"),
        _ => text.into(),
    }
}

fn best() -> Device {
    let first = |kind| enumerate(kind).ok().and_then(|devices| devices.into_iter().next());
    first("cuda").or_else(|| first("wgpu")).unwrap_or_else(Device::flex)
}

/// The devices of a kind that are present; software adapters count only when they are asked for
/// through the graphics driver's own settings.
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

/// What the driver lists; none where there is no driver, which its loader reports by a panic.
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
