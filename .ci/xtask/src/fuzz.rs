//! Files from outside, changed at random.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, run};
use crate::workspace::{NATIVE, Workspace};

/// Builds and runs `rewind-fuzz` with these options.
///
/// # Errors
/// When it cannot be built, or an input fails.
pub fn fuzz(workspace: &Workspace, options: &[impl AsRef<str>]) -> Result<()> {
    let build = [&["build", "--bins"], NATIVE].concat();
    run(cargo(&build).current_dir(&workspace.root))?;
    let mut fuzz = Command::new(workspace.program("rewind-fuzz"));
    fuzz.arg("--out").arg(workspace.target.join("rewind-fuzz"));
    run(fuzz.args(options.iter().map(AsRef::as_ref)).current_dir(&workspace.root))
}
