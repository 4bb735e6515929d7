//! `cargo xtask bench engine`: the WGSL engine natively, kernel by kernel, on the machine's
//! adapter, and optionally the engine of another commit for comparison.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use xshell::{Cmd, cmd};

use super::{Size, parse_size};
use crate::command::run;
use crate::steps::Steps;
use crate::workspace::{NATIVE, Workspace};

/// The benchmark program, an example of the crate `shaders`.
const PROGRAM: &str = "bench_engine";

/// The options of `cargo xtask bench engine`.
#[derive(clap::Args)]
pub struct EngineOptions {
    /// A network; can be given more than once
    #[arg(long = "preset", default_values = ["mbconv-slim"])]
    presets: Vec<String>,
    /// Voxels of the input along i, j, k; padded to a size that the network takes
    #[arg(long, default_value = "64x64x64", value_parser = parse_size)]
    size: Size,
    /// Channels of the input
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    channels: u64,
    /// The limit of GPU memory, such as 512MiB or 2GiB
    #[arg(long = "budget", default_value = "4GiB", value_parser = parse_mebibytes)]
    budget_mib: u64,
    /// The precision of stored feature maps: f32, f16, or auto for f32 if the budget allows it
    #[arg(long, default_value = "auto", value_parser = ["auto", "f32", "f16"])]
    storage: String,
    /// The largest number of channels at which blocks are fused, or no, or auto for the faster on
    /// this GPU
    // Without a default: an earlier commit may not know this option.
    #[arg(long)]
    fused: Option<String>,
    /// Runs after the first; their median is reported
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Measure this commit too
    #[arg(long, value_name = "REVISION")]
    against: Option<String>,
}

/// Measures every preset, first with the engine of the commit to compare with.
///
/// # Errors
/// If a build or a measurement fails.
pub fn engine(workspace: &Workspace, options: &EngineOptions) -> Result<()> {
    let folder = workspace.target.join("rewind-bench-engine");
    let steps = &mut Steps::new();
    let mut programs = Vec::new();
    if let Some(revision) = &options.against {
        let title = format!("Build the engine of {revision}");
        let program = steps.run(&title, || build_revision(workspace, revision, &folder))?;
        programs.push((format!("before, {revision}"), program));
    }
    let program = steps.run("Build the engine", || build(workspace))?;
    programs.push(("now".to_string(), program));
    for preset in &options.presets {
        for (version, program) in &programs {
            let title = match programs.len() {
                1 => preset.clone(),
                _ => format!("{preset}, {version}"),
            };
            steps
                .run(&title, || run(measurement(workspace, program, preset, options, &folder)?))?;
        }
    }
    steps.print_summary();
    Ok(())
}

/// Returns the command that measures a preset.
fn measurement<'a>(
    workspace: &'a Workspace,
    program: &Path,
    preset: &str,
    options: &EngineOptions,
    folder: &Path,
) -> Result<Cmd<'a>> {
    let EngineOptions { size: Size([i, j, k]), channels, budget_mib, storage, repeat, .. } =
        options;
    let size = format!("{i}x{j}x{k}");
    let [channels, budget, repeat] = [channels, budget_mib, repeat].map(u64::to_string);
    let mut command = cmd!(workspace.shell, "{program} --preset {preset} --size {size}")
        .args(["--channels", &channels, "--budget", &budget, "--storage", storage])
        .args(["--repeat", &repeat]);
    if let Some(fused) = &options.fused {
        command = command.args(["--fused", fused]);
    }
    // Drivers keep compiled kernels in files from one process to the next, so that no start is
    // cold. Without such a cache Mesa's software Vulkan compiles in every run. Therefore the cache
    // exists, but is empty.
    let cache = folder.join("compiled");
    if cache.exists() {
        fs::remove_dir_all(&cache)?;
    }
    fs::create_dir_all(&cache)?;
    let variables = ["MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH"];
    Ok(command.envs(variables.map(|variable| (variable, &cache))))
}

/// Builds the benchmark from these sources and returns the program's path.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let sh = &workspace.shell;
    run(cmd!(sh, "cargo build --example {PROGRAM} {NATIVE...}"))?;
    Ok(workspace.program(&format!("examples/{PROGRAM}")))
}

/// Builds the benchmark from the sources of another commit and returns the program's path.
///
/// It has a target folder of its own, because cargo knows a package by its path within the
/// workspace and would take the files of one commit for those of the other.
fn build_revision(workspace: &Workspace, revision: &str, folder: &Path) -> Result<PathBuf> {
    let sh = &workspace.shell;
    let revision = format!("{revision}^{{commit}}");
    let commit = cmd!(sh, "git rev-parse --verify --end-of-options {revision}").quiet().read()?;
    // Each commit has its own folder: cargo goes by the times of files, which are those of the
    // commit.
    let root = folder.join(&commit);
    fs::create_dir_all(&root)?;
    let archive = folder.join(format!("{commit}.tar"));
    run(cmd!(sh, "git archive --format=tar {commit} -o {archive}"))?;
    run(cmd!(sh, "tar -xf {archive} -C {root}"))?;
    let target = root.join("target");
    let root_of_commit = sh.push_dir(&root);
    // Only the engine, which does not need burn.
    let build = cmd!(sh, "cargo build -p shaders --example {PROGRAM}");
    run(build.env("CARGO_TARGET_DIR", &target))?;
    drop(root_of_commit);
    Ok(target.join(format!("debug/examples/{PROGRAM}{}", std::env::consts::EXE_SUFFIX)))
}

/// Returns an amount such as 512MiB or 2GiB in MiB.
///
/// # Errors
/// If the text is not a number from 1 MiB with one of these units.
fn parse_mebibytes(text: &str) -> Result<u64, String> {
    let parse = |unit: &str, factor: f64| {
        let number = text.strip_suffix(unit)?.trim().parse::<f64>().ok()?;
        let mib = (number * factor).floor();
        (1.0..1e9).contains(&mib).then_some(mib as u64)
    };
    let mebibytes = parse("GiB", 1024.0).or_else(|| parse("MiB", 1.0));
    mebibytes.ok_or_else(|| format!("expected an amount such as 512MiB or 2GiB, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_its_unit() {
        assert_eq!(parse_mebibytes("512MiB"), Ok(512));
        assert_eq!(parse_mebibytes("1.5 GiB"), Ok(1536));
        for bad in ["512", "GiB", "-1GiB", "0MiB", "NaNGiB", "infGiB", "1e30GiB", ""] {
            assert!(parse_mebibytes(bad).is_err(), "{bad}");
        }
    }
}
