//! A measurement alone in a process: this program starts itself, with nothing else running.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use model_core::UNetConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use trainer_run::config::Precision;

/// The network, size and device of a measurement.
pub struct Measurement<'a> {
    pub config: &'a UNetConfig,
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
    pub precision: Precision,
    /// The name of the device; `None` for the best one.
    pub device: Option<&'a str>,
    /// CPU threads of both libraries; `None` for as many as there are cores.
    pub num_threads: Option<usize>,
}

/// The settings that a network travels in.
#[derive(Serialize)]
struct Settings<'a> {
    network: &'a UNetConfig,
}

impl Measurement<'_> {
    /// Runs `rewind-bench` with these arguments. Returns what it prints as JSON in its last line.
    ///
    /// # Errors
    /// Errors if the process cannot be started, fails, or prints something else.
    pub fn run<T: DeserializeOwned>(&self, args: &[String]) -> Result<T> {
        let mut settings = tempfile::Builder::new().suffix(".toml").tempfile()?;
        settings.write_all(toml::to_string(&Settings { network: self.config })?.as_bytes())?;
        let [i, j, k] = self.dims;
        let mut process = Command::new(std::env::current_exe()?);
        process.args(args).arg("--config").arg(settings.path());
        process.args(["--size", &format!("{k}x{j}x{i}")]);
        process.args(["--precision", self.precision.compute.name()]);
        process.args(["--stream", self.precision.stream.name()]);
        process.args(self.device.iter().flat_map(|device| ["--device", device]));
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS"] {
            process.envs(self.num_threads.map(|threads| (variable, threads.to_string())));
        }
        let output = process.stdin(Stdio::null()).stderr(Stdio::piped()).output();
        let output = output.context("cannot start the process that is measured")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the process ended with {}: {errors}", output.status);
        // libtorch may have printed something before.
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).context("expected a measurement from the process")
    }
}
