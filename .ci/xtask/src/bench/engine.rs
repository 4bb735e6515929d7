//! `cargo xtask bench engine`: the WGSL engine natively, kernel by kernel, on whatever adapter there is;
//! beside what it was at another revision, where one is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, run};
use crate::steps::Steps;
use crate::workspace::{NATIVE, Workspace};

/// The program that measures, an example of the crate `shaders`.
const PROGRAM: &str = "bench_engine";

/// What the command line asks for.
pub struct Engine {
    /// Presets to measure.
    pub presets: Vec<String>,
    /// Voxels of the input along i, j, k.
    pub size: [usize; 3],
    /// Channels of the input.
    pub channels: usize,
    /// MiB that may be allocated on the GPU.
    pub budget_mib: u64,
    /// f32, f16, or auto for what the budget allows.
    pub storage: String,
    /// Up to how many channels blocks are fused, no, or auto for what is faster. An earlier revision may
    /// not know of it: it is told where it is asked for.
    pub fused: Option<String>,
    /// Runs that count.
    pub repeat: u64,
    /// A revision to measure before.
    pub against: Option<String>,
}

/// Measures every preset; where a revision is named, with its sources first.
///
/// # Errors
/// When something cannot be built or does not run.
pub fn engine(workspace: &Workspace, engine: &Engine) -> Result<()> {
    let folder = workspace.target.join("rewind-bench-engine");
    let steps = &mut Steps::new();
    let mut programs = Vec::new();
    if let Some(revision) = &engine.against {
        let title = format!("Build the engine of {revision}");
        let program = steps.run(&title, || before(workspace, revision, &folder))?;
        programs.push((format!("before, {revision}"), program));
    }
    let program = steps.run("Build the engine", || now(workspace))?;
    programs.push(("now".to_string(), program));
    for preset in &engine.presets {
        for (when, program) in &programs {
            let title = match programs.len() {
                1 => preset.clone(),
                _ => format!("{preset}, {when}"),
            };
            steps.run(&title, || run(&mut measure(program, preset, engine, &folder)?))?;
        }
    }
    steps.summary();
    Ok(())
}

fn measure(program: &Path, preset: &str, engine: &Engine, folder: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    let [i, j, k] = engine.size;
    command.args(["--preset", preset, "--size", &format!("{i}x{j}x{k}")]);
    command.args(["--channels", &engine.channels.to_string()]);
    command.args(["--budget", &engine.budget_mib.to_string(), "--storage", &engine.storage]);
    if let Some(fused) = &engine.fused {
        command.args(["--fused", fused]);
    }
    command.args(["--repeat", &engine.repeat.to_string()]);
    // Drivers keep compiled kernels in files from one process to the next, and then none is cold.
    // Without such a cache Mesa's software Vulkan compiles anew at every run; so it gets an empty one.
    let cache = folder.join("compiled");
    if cache.exists() {
        fs::remove_dir_all(&cache)?;
    }
    fs::create_dir_all(&cache)?;
    for variable in ["MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH"] {
        command.env(variable, &cache);
    }
    Ok(command)
}

/// The program of these sources.
fn now(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo([&["build", "--example", PROGRAM], NATIVE].concat());
    run(command.current_dir(&workspace.root))?;
    Ok(workspace.program(&format!("examples/{PROGRAM}")))
}

/// The program of another revision. It is built in a target folder of its own: in ours cargo would take
/// one's files for the other's, since it knows them by their paths within the workspace.
fn before(workspace: &Workspace, revision: &str, folder: &Path) -> Result<PathBuf> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--verify", "--end-of-options", &format!("{revision}^{{commit}}")]);
    let output = git.current_dir(&workspace.root).output().context("cannot run git")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let commit = String::from_utf8(output.stdout)?.trim().to_string();
    // Each commit in a folder of its own: cargo goes by the age of files, which are as old as it.
    let root = folder.join(&commit);
    fs::create_dir_all(&root)?;
    let archive = folder.join(format!("{commit}.tar"));
    let mut git = Command::new("git");
    git.args(["archive", "--format=tar", &commit, "-o"]).arg(&archive);
    run(git.current_dir(&workspace.root))?;
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&root))?;
    // Of the engine alone, which does not need burn.
    let mut command = cargo(["build", "-p", "shaders", "--example", PROGRAM]);
    command.env("CARGO_TARGET_DIR", root.join("target")).current_dir(&root);
    run(&mut command)?;
    Ok(root.join(format!("target/debug/examples/{PROGRAM}{}", std::env::consts::EXE_SUFFIX)))
}

/// MiB of an amount such as 512MiB or 2GiB.
///
/// # Errors
/// For anything else.
pub fn mebibytes(text: &str) -> Result<u64, String> {
    let number = |unit: &str, factor: f64| {
        let number = text.strip_suffix(unit)?.trim().parse::<f64>().ok()?;
        let mib = (number * factor).floor();
        (1.0..1e9).contains(&mib).then_some(mib as u64)
    };
    let found = number("GiB", 1024.0).or_else(|| number("MiB", 1.0));
    found.ok_or_else(|| format!("expected an amount such as 512MiB or 2GiB, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_its_unit() {
        assert_eq!(mebibytes("512MiB"), Ok(512));
        assert_eq!(mebibytes("1.5 GiB"), Ok(1536));
        for bad in ["512", "GiB", "-1GiB", "0MiB", "NaNGiB", "infGiB", "1e30GiB", ""] {
            assert!(mebibytes(bad).is_err(), "{bad}");
        }
    }
}
