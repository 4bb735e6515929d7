//! `cargo xtask bench`: benchmarks that take more than one command.

pub mod browser;
pub mod engine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command::{cargo, line};
use crate::steps::Steps;
use crate::workspace::Workspace;

/// How a stage says that there is more to do; one that was interrupted ends with another status.
const MORE: i32 = 75;

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

/// Builds the program for the device, and runs all stages of `rewind-bench gpu` one after the other,
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
    let mut build = cargo(["build", "--release", "-p", "trainer-bench", "--bin", "rewind-bench"]);
    if !features.is_empty() {
        build.args(["--features", &features]);
    }
    steps
        .run("Build for the device", || crate::command::run(build.current_dir(&workspace.root)))?;
    let program =
        workspace.target.join(format!("release/rewind-bench{}", std::env::consts::EXE_SUFFIX));
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
    command.args(["gpu", "--stage", stage, "--device", &gpu.device]);
    command.arg("--out").arg(&gpu.out);
    if let Some(data) = data {
        command.arg("--data").arg(data.join(stage));
    }
    if gpu.rehearse {
        command.arg("--rehearse");
    }
    println!("  {}", line(&command));
    again(
        || {
            let status = command.status();
            let status = status.with_context(|| format!("cannot start {}", line(&command)))?;
            ensure!(
                status.success() || status.code() == Some(MORE),
                "{} ended with {status}; given again, this command goes on from there",
                line(&command)
            );
            Ok(status.success())
        },
        || results(&gpu.out, stage),
    )
    .with_context(|| format!("the stage {stage}"))
}

/// Calls until it is done, as long as a call leaves other results than the one before.
fn again<T: PartialEq>(
    mut call: impl FnMut() -> Result<bool>,
    results: impl Fn() -> T,
) -> Result<()> {
    let mut before = results();
    while !call()? {
        let after = results();
        if after == before {
            bail!("expected a call to come further than the one before it, found it no further");
        }
        before = after;
    }
    Ok(())
}

/// A stage's files: names, sizes and when they were written.
fn results(out: &Path, stage: &str) -> Vec<impl PartialEq + use<>> {
    let files = fs::read_dir(out).into_iter().flatten().flatten();
    let of_stage = files.filter(|file| file.file_name().to_string_lossy().starts_with(stage));
    let mut found: Vec<_> = of_stage
        .map(|file| {
            let about = file.metadata().ok().map(|about| (about.len(), about.modified().ok()));
            (file.file_name(), about)
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_stage_is_called_until_it_is_done() {
        let calls = Cell::new(0);
        let call = || {
            calls.set(calls.get() + 1);
            Ok(calls.get() == 3)
        };
        again(call, || calls.get()).unwrap();
        assert_eq!(calls.get(), 3);
    }

    #[test]
    fn a_stage_that_comes_no_further_or_fails_is_not_called_for_ever() {
        let calls = Cell::new(0);
        let call = || {
            calls.set(calls.get() + 1);
            assert!(calls.get() < 10, "for ever");
            Ok(false)
        };
        assert!(again(call, || calls.get().min(2)).unwrap_err().to_string().contains("no further"));
        assert_eq!(calls.get(), 3);
        let error = again(|| bail!("interrupted"), || ()).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
    }
}
