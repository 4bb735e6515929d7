//! `cargo xtask fuzz`: random changes of files from outside.

use anyhow::Result;
use xshell::cmd;

use crate::command::run;
use crate::workspace::{NATIVE, Workspace};

/// Builds and runs `rewind-fuzz` with the given options.
///
/// # Errors
/// If `rewind-fuzz` cannot be built, or if an input fails.
pub fn fuzz(workspace: &Workspace, options: &[impl AsRef<str>]) -> Result<()> {
    let sh = &workspace.shell;
    run(cmd!(sh, "cargo build --bins {NATIVE...}"))?;
    let (program, out) = (workspace.program("rewind-fuzz"), workspace.target.join("rewind-fuzz"));
    run(cmd!(sh, "{program} --out {out}").args(options.iter().map(AsRef::as_ref)))
}
