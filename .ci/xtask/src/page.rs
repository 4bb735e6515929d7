//! `cargo xtask page`: WebAssembly, the JavaScript that starts it, and the static files, in one
//! folder.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;
use xshell::cmd;

use crate::command::run;
use crate::tools::{WASM, add_wasm_target};
use crate::workspace::Workspace;

/// Builds the page into the folder `out`: `index.html`, `web_viewer.js`, `web_viewer_bg.wasm`.
///
/// # Errors
/// If a step fails. The error names the step.
pub fn build(workspace: &Workspace, out: &Path) -> Result<()> {
    let sh = &workspace.shell;
    add_wasm_target(sh)?;
    // Selected alone: in a build of the whole workspace the page would include burn through
    // model-core.
    run(cmd!(sh, "cargo build -p web-page --target {WASM} --profile page"))?;
    let wasm = workspace.target.join(WASM).join("page/web_page.wasm");
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    bindgen(&wasm, "web_viewer", out)
        .with_context(|| format!("cannot make bindings of {}", wasm.display()))?;
    copy_static(&workspace.root.join("web-viewer"), out)?;
    copy_models(&workspace.root.join("model-core/models"), &out.join("models"))?;
    complete_service_worker(out)?;
    let size = fs::metadata(out.join("web_viewer_bg.wasm"))?.len();
    println!("  the page is in {} ({} kB of WebAssembly)", out.display(), size.div_ceil(1000));
    Ok(())
}

/// Makes the JavaScript `name`.js that loads a WebAssembly file, as the command `wasm-bindgen --target web`
/// does, in the version of `Cargo.lock`.
///
/// # Errors
/// If the file is missing or was built with another version of wasm-bindgen.
pub fn bindgen(wasm: &Path, name: &str, out: &Path) -> Result<()> {
    Bindgen::new()
        .input_path(wasm)
        .web(true)?
        .typescript(false)
        // By default the library omits the path of the WebAssembly file, and `init()` throws.
        .omit_default_module_path(false)
        .out_name(name)
        // Function names are most of what an optimizer would save.
        .remove_name_section(true)
        .generate(out)
}

/// Writes the page's files and their version into its service worker, `sw.js`, which keeps them in the browser.
fn complete_service_worker(out: &Path) -> Result<()> {
    const SCRIPT: &str = "sw.js";
    let mut files = Vec::new();
    for folder in ["", "models/"] {
        for entry in fs::read_dir(out.join(folder))? {
            let entry = entry?;
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            if entry.path().is_file() && name != SCRIPT {
                files.push(name);
            }
        }
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in &files {
        digest.update(fs::read(out.join(file))?);
    }
    let version: String = digest.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect();
    let script = fs::read_to_string(out.join(SCRIPT))?;
    let list = format!("const FILES = {files:?};");
    let completed = script
        .replace("const VERSION = \"VERSION\";", &format!("const VERSION = {version:?};"))
        .replace("const FILES = [];", &list);
    ensure!(
        completed.contains(&list) && completed.contains(&version),
        "{SCRIPT} has no place for the files"
    );
    Ok(fs::write(out.join(SCRIPT), completed)?)
}

/// Copies `index.html`, and the folder `static` if it exists.
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

/// Copies the networks that the page loads when it needs them.
fn copy_models(from: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let source = entry?.path();
        let name = source.file_name().context("a file has a name")?;
        let copied = fs::copy(&source, out.join(name));
        copied.with_context(|| format!("cannot copy {}", source.display()))?;
    }
    Ok(())
}
