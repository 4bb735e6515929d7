//! The time of a pass over one operation, between two waits for the device.

use std::time::Instant;

use anyhow::{Result, bail};
use burn::tensor::{Device, Tensor};
use model_core::nets::backward;

/// Runs before the first that counts: kernels are compiled, and chosen, at their first use.
const WARM_UP: usize = 2;

/// Median seconds of a computation.
///
/// # Errors
/// When the device fails.
pub fn forward(device: &Device, repeat: usize, f: impl Fn() -> Tensor<5>) -> Result<f64> {
    median(repeat, || {
        wait(device)?;
        let started = Instant::now();
        let y = f();
        wait(device)?;
        let secs = started.elapsed().as_secs_f64();
        drop(y);
        Ok(secs)
    })
}

/// Median seconds of the backward pass of a computation on tracked tensors, whose output gets the
/// gradient `seed`.
///
/// # Errors
/// When the device fails.
pub fn backwards(
    device: &Device,
    repeat: usize,
    f: impl Fn() -> Tensor<5>,
    seed: &Tensor<5>,
) -> Result<f64> {
    median(repeat, || {
        let (y, seed) = (f(), seed.clone());
        wait(device)?;
        let started = Instant::now();
        let gradients = backward(vec![(y, seed)]);
        wait(device)?;
        let secs = started.elapsed().as_secs_f64();
        drop(gradients);
        Ok(secs)
    })
}

/// The median of runs, those before the first that counts left out.
///
/// # Errors
/// When a run fails.
pub fn median(repeat: usize, mut run: impl FnMut() -> Result<f64>) -> Result<f64> {
    for _ in 0..WARM_UP {
        run()?;
    }
    let mut secs = (0..repeat).map(|_| run()).collect::<Result<Vec<f64>>>()?;
    secs.sort_by(f64::total_cmp);
    Ok(secs[secs.len() / 2])
}

fn wait(device: &Device) -> Result<()> {
    if let Err(error) = device.sync() {
        bail!("the device failed: {error:?}");
    }
    Ok(())
}
