//! What the commands need beside Rust: installed where that is possible, else named exactly.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::run;

/// The page's compilation target.
pub const WASM: &str = "wasm32-unknown-unknown";

/// Adds the page's target to the toolchain where it is missing.
///
/// # Errors
/// When it cannot be added; the error says how to do it by hand.
pub fn wasm_target() -> Result<()> {
    let mut query = Command::new("rustc");
    query.args(["--print", "target-libdir", "--target", WASM]);
    let output = query.output().context("cannot run rustc")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = String::from_utf8_lossy(&output.stdout);
    if std::path::Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", WASM])).context(format!(
        "Rust's target {WASM} is missing here and could not be added. Install it with \
         `rustup target add {WASM}` (it needs the network once), or with the package of your \
         system that holds Rust's standard library for wasm32."
    ))
}
