//! `cargo xtask bench`: benchmarks that take more than one command.

pub mod browser;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, line};
use crate::steps::Steps;
use crate::workspace::Workspace;

/// How a stage says that there is more to do.
const MORE: i32 = 130;

/// What is measured on a GPU, and where.
pub struct Gpu {
    /// The folder with the data sets `hippocampus` and `lgg64`; without it nothing is trained.
    pub data: Option<PathBuf>,
    /// Where the results go.
    pub out: PathBuf,
    /// cuda, wgpu or cpu, perhaps with a number.
    pub device: String,
    /// Small sizes, to see that everything runs.
    pub rehearse: bool,
    /// Compares with PyTorch's library too.
    pub libtorch: bool,
}

/// Builds the program for the device, and runs all stages of `rewind bench gpu` one after the other,
/// each until it is done. Stopped, the same command goes on.
///
/// # Errors
/// When the build or a stage fails.
pub fn gpu(workspace: &Workspace, gpu: &Gpu) -> Result<()> {
    let steps = &mut Steps::new();
    let kind = gpu.device.split(':').next().unwrap_or_default();
    let mut features: Vec<&str> = match kind {
        "cpu" => Vec::new(),
        kind => vec![kind],
    };
    if gpu.libtorch {
        features.push("libtorch");
    }
    let features = features.join(",");
    let mut build = cargo(["build", "--release", "-p", "trainer", "--bin", "rewind"]);
    if !features.is_empty() {
        build.args(["--features", &features]);
    }
    steps
        .run("Build for the device", || crate::command::run(build.current_dir(&workspace.root)))?;
    let program = workspace.target.join(format!("release/rewind{}", std::env::consts::EXE_SUFFIX));
    for stage in ["correctness", "kernels", "step"] {
        steps.run(stage, || until_done(&program, gpu, stage, None))?;
    }
    for stage in ["hippocampus", "lgg64"] {
        match &gpu.data {
            Some(data) => steps.run(stage, || until_done(&program, gpu, stage, Some(data)))?,
            None => println!("  {stage}: not trained without --data"),
        }
    }
    steps.summary();
    println!("\nthe results are in {}", gpu.out.display());
    Ok(())
}

fn until_done(program: &Path, gpu: &Gpu, stage: &str, data: Option<&PathBuf>) -> Result<()> {
    let mut command = Command::new(program);
    command.args(["bench", "gpu", "--stage", stage, "--device", &gpu.device]);
    command.arg("--out").arg(&gpu.out);
    if let Some(data) = data {
        command.arg("--data").arg(data.join(stage));
    }
    if gpu.rehearse {
        command.arg("--rehearse");
    }
    println!("  {}", line(&command));
    loop {
        let status =
            command.status().with_context(|| format!("cannot start {}", line(&command)))?;
        if status.code() != Some(MORE) {
            ensure!(status.success(), "{} ended with {status}", line(&command));
            return Ok(());
        }
    }
}
