//! Where the sources are, and where everything that is made goes.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::command::cargo;

/// What every native build names, with whatever targets: cargo unifies the features of the packages
/// named, so that another selection could compile burn a second time. This package is left out,
/// since it runs while the others are built.
pub const NATIVE: &[&str] = &["--workspace", "--exclude", "xtask"];

/// The folders that the commands read and write.
pub struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target folder: all that the commands make lies in it.
    pub target: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and its other settings hold here too.
    ///
    /// # Errors
    /// When cargo cannot be run here.
    pub fn find() -> Result<Workspace> {
        let output = cargo(["metadata", "--no-deps", "--format-version=1"]).output();
        let output = output.context("cannot run cargo")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let path = |key: &str| {
            let path = metadata[key].as_str().map(PathBuf::from);
            path.with_context(|| format!("expected {key} in `cargo metadata`, found none"))
        };
        Ok(Workspace { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// The page's folder.
    pub fn page(&self) -> PathBuf {
        self.target.join("rewind-page")
    }

    /// A program of the workspace, as the profile `dev` builds it.
    pub fn program(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}
