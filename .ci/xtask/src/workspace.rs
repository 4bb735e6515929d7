//! The folder of the sources, and the folder for everything that the commands make.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Cmd, Shell, cmd};

/// The package selection of every native build, whatever its targets.
///
/// Cargo unifies the features of the selected packages, so another selection could compile burn a
/// second time. This package is excluded, because it runs while the others are built.
pub const NATIVE: [&str; 3] = ["--workspace", "--exclude", "xtask"];

/// The folders that the commands read and write.
pub struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target folder. It contains everything that the commands make.
    pub target: PathBuf,
    /// Starts commands in the root folder.
    pub shell: Shell,
}

impl Workspace {
    /// Asks cargo for the folders, which respects `CARGO_TARGET_DIR` and cargo's other settings.
    ///
    /// # Errors
    /// If cargo cannot be run here.
    pub fn find() -> Result<Workspace> {
        let shell = Shell::new()?;
        let metadata = cmd!(shell, "cargo metadata --no-deps --format-version=1").quiet().read()?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
        let path = |key: &str| {
            let path = metadata[key].as_str().map(PathBuf::from);
            path.with_context(|| format!("expected {key} in `cargo metadata`, found none"))
        };
        let (root, target) = (path("workspace_root")?, path("target_directory")?);
        shell.change_dir(&root);
        Ok(Workspace { root, target, shell })
    }

    /// Returns the folder of the built page.
    pub fn page(&self) -> PathBuf {
        self.target.join("rewind-page")
    }

    /// Returns the path of a program of the workspace, as the profile `dev` builds it.
    pub fn program(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Returns the command `rewind`, without arguments.
    pub fn rewind(&self) -> Cmd<'_> {
        let rewind = self.program("rewind");
        cmd!(self.shell, "{rewind}")
    }
}
