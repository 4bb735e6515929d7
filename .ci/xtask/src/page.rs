//! The page: WebAssembly, the glue that starts it, and the static files, in one folder.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::command::{cargo, run};
use crate::tools::{WASM, wasm_target};
use crate::workspace::Workspace;

/// Builds the page into the folder `out`: `index.html`, `web_viewer.js`, `web_viewer_bg.wasm`.
///
/// # Errors
/// When a step fails; the error names it.
pub fn build(workspace: &Workspace, out: &Path) -> Result<()> {
    wasm_target()?;
    // Named alone: in a build of the whole workspace the page would get burn with model-core.
    run(cargo(["build", "-p", "web-viewer", "--lib", "--target", WASM, "--profile", "page"])
        .current_dir(&workspace.root))?;
    let wasm = workspace.target.join(WASM).join("page/web_viewer.wasm");
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    glue(&wasm, out).with_context(|| format!("cannot make the glue of {}", wasm.display()))?;
    copy_static(&workspace.root.join("web-viewer"), out)?;
    let size = fs::metadata(out.join("web_viewer_bg.wasm"))?.len();
    println!("  the page is in {} ({} kB of WebAssembly)", out.display(), size.div_ceil(1000));
    Ok(())
}

/// Makes the JavaScript that loads a WebAssembly, as the tool `wasm-bindgen --target web` does, in
/// the version of `Cargo.lock`.
///
/// # Errors
/// When the file is missing or its like was not built with that version.
pub fn glue(wasm: &Path, out: &Path) -> Result<()> {
    Bindgen::new()
        .input_path(wasm)
        .web(true)?
        .typescript(false)
        // By default the library leaves out where the wasm lies, and then `init()` throws.
        .omit_default_module_path(false)
        // Function names: most of what an optimizer would save.
        .remove_name_section(true)
        .generate(out)
}

/// `index.html`, and the folder `static` where there is one.
fn copy_static(from: &Path, out: &Path) -> Result<()> {
    let copy = |source: &Path| {
        let name = source.file_name().context("a file has a name")?;
        let copied = fs::copy(source, out.join(name));
        copied.map(|_| ()).with_context(|| format!("cannot copy {}", source.display()))
    };
    copy(&from.join("index.html"))?;
    let folder = from.join("static");
    if folder.is_dir() {
        for entry in fs::read_dir(&folder)? {
            copy(&entry?.path())?;
        }
    }
    Ok(())
}
