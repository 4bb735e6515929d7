//! Seconds of repeated work.

use std::time::Instant;

use anyhow::{Result, bail};
use burn::tensor::Device;

/// Runs before those that count: kernels are compiled, and chosen, at their first use.
const NUM_WARM_UP_RUNS: usize = 2;

/// The middle and the ends of several durations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// # Panics
    /// Panics if `seconds` is empty.
    pub fn new(seconds: &[f64]) -> Spread {
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Spread { median: (low + high) / 2.0, min: sorted[0], max: sorted[sorted.len() - 1] }
    }
}

/// Returns the median seconds of `num_runs` runs. A run returns its own seconds.
///
/// # Errors
/// Errors if a run fails.
pub fn median_secs(num_runs: usize, mut run: impl FnMut() -> Result<f64>) -> Result<f64> {
    for _ in 0..NUM_WARM_UP_RUNS {
        run()?;
    }
    let seconds = (0..num_runs).map(|_| run()).collect::<Result<Vec<f64>>>()?;
    Ok(Spread::new(&seconds).median)
}

/// Returns the seconds of `work` between two calls of `wait`, which waits for the device.
///
/// # Errors
/// Errors if `work` or `wait` fails.
pub fn secs<T>(wait: impl Fn() -> Result<()>, work: impl FnOnce() -> Result<T>) -> Result<f64> {
    wait()?;
    let started = Instant::now();
    let output = work()?;
    wait()?;
    let secs = started.elapsed().as_secs_f64();
    // Freed after the clock is read.
    drop(output);
    Ok(secs)
}

/// Waits until a device has computed everything.
///
/// # Errors
/// Errors if the device failed.
pub fn wait(device: &Device) -> Result<()> {
    if let Err(error) = device.sync() {
        bail!("the device failed: {error:?}");
    }
    Ok(())
}
