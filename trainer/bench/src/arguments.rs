//! Arguments that several benchmarks share, and their checks.

use anyhow::{Result, ensure};
use burn::tensor::Device;
use clap::Args;
use model_core::UNetConfig;
use trainer_train::device;

/// The device of a benchmark.
#[derive(Args)]
pub struct DeviceArgs {
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and present.
    #[arg(long)]
    device: Option<String>,
}

impl DeviceArgs {
    pub fn name(&self) -> Option<&str> {
        self.device.as_deref()
    }

    pub fn open(&self) -> Result<Device> {
        device::device(self.name())
    }
}

/// The largest number of values of an input or of logits. libtorch counts them in 32 bits, and so do
/// our kernels the voxels of a map.
const MAX_VALUES: usize = 1 << 30;

/// Refuses an input that is too large, before anything is allocated.
///
/// # Errors
/// Errors if the input or the logits have more than [`MAX_VALUES`] values.
pub fn check_num_values(config: &UNetConfig, dims: [usize; 3], batch: usize) -> Result<()> {
    let channels = config.in_channels().max(config.out_channels());
    let factors = dims.into_iter().chain([batch, channels]);
    let count = factors.into_iter().try_fold(1usize, |count, n| count.checked_mul(n));
    ensure!(
        count.is_some_and(|count| count <= MAX_VALUES),
        "--size, --batch: expected at most {MAX_VALUES} values, found {batch} volumes of {dims:?} voxels \
         (i, j, k) with {channels} channels"
    );
    Ok(())
}

/// Refuses `--against libtorch` in a build without libtorch.
///
/// # Errors
/// Errors with the commands that install and build it.
pub fn check_libtorch() -> Result<()> {
    ensure!(
        cfg!(feature = "libtorch"),
        "--against libtorch: this build has no libtorch; install it with `pip install \
         torch==2.11.*` and build with `LIBTORCH_USE_PYTORCH=1 cargo build -p trainer-bench \
         --features libtorch`"
    );
    Ok(())
}
