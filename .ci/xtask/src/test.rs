//! `cargo xtask test`: all checks of the project, the cheapest first.

use std::fs;

use anyhow::{Context, Result};
use xshell::cmd;

use crate::command::{command, line, run};
use crate::fuzz::fuzz;
use crate::page;
use crate::steps::Steps;
use crate::tools::{Tools, WASM, add_wasm_target};
use crate::workspace::{NATIVE, Workspace};

/// Runs all checks and stops at the first that fails.
///
/// # Errors
/// If a check fails. The error contains the line to run it again.
pub fn test(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.shell;
    let steps = &mut Steps::new();
    let page =
        ["-p", "web-viewer", "-p", "web-page", "-p", "bench-page", "--lib", "--target", WASM];

    let tools = steps.run("Tools for the checks", || {
        add_wasm_target(sh)?;
        Tools::find_or_install(sh)
    })?;
    steps.run("Format", || run(cmd!(sh, "cargo fmt --all --check")))?;
    steps.run("Rules of the sources", || rules(workspace))?;
    steps
        .run("Lints", || run(cmd!(sh, "cargo clippy --workspace --all-targets -- -D warnings")))?;
    steps.run("Lints of the page", || run(cmd!(sh, "cargo clippy {page...} -- -D warnings")))?;
    steps.run("Documentation", || {
        let deny = |doc: xshell::Cmd| run(doc.env("RUSTDOCFLAGS", "-D warnings"));
        deny(cmd!(sh, "cargo doc --workspace --no-deps"))?;
        deny(cmd!(sh, "cargo doc --no-deps {page...}"))
    })?;
    steps.run("Build of the tests", || {
        run(cmd!(sh, "cargo test --no-run {NATIVE...}"))?;
        run(cmd!(sh, "cargo test --no-run -p xtask"))
    })?;
    steps.run("Tests", || {
        run(cmd!(sh, "cargo test --quiet -p xtask"))?;
        // The browser tests need the page, which is built later.
        let tests = cmd!(sh, "cargo test {NATIVE...} -- --skip browser::");
        run(tests.env("REWIND_REQUIRE_GPU", "1").envs(tools.vulkan_variable()))
    })?;
    steps.run("Random changes of files from outside", || {
        fuzz(workspace, &["--iterations", "2000"])
    })?;
    steps.run("Build of the page", || page::build(workspace, &workspace.page()))?;
    steps.run("Test in a browser", || {
        run(cmd!(sh, "cargo build --bins {NATIVE...}"))?;
        let tests = cmd!(sh, "cargo test {NATIVE...} --test integration -- browser:: --nocapture");
        run(tests
            .env("REWIND_REQUIRE_BROWSER", "1")
            .env("REWIND_BIN", workspace.program("rewind"))
            .env("REWIND_SERVE_BIN", workspace.program("rewind-serve"))
            .env("REWIND_PAGE", workspace.page())
            .env("REWIND_SCREENSHOT", workspace.target.join("rewind-screenshot"))
            .env("CHROME", &tools.browser)
            .env("CHROMEDRIVER", &tools.driver))
    })?;
    steps.print_summary();
    println!("\nall checks passed");
    Ok(())
}

/// Checks the GPU backends: they compile for CUDA, and on wgpu the kernels compute what the CPU
/// kernels compute and a network trains.
///
/// These checks are a command of their own, because they take long to compile.
///
/// # Errors
/// If a check fails. The error contains the line to run it again.
pub fn test_gpu(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.shell;
    let steps = &mut Steps::new();
    let tools = steps.run("Tools for the checks", || Tools::find_or_install(sh))?;
    steps.run("Lints of the CUDA build", || {
        let clippy = cmd!(
            sh,
            "cargo clippy -p trainer -p model-core --features trainer/cuda -- -D warnings"
        );
        // With DOCS_RS the code generator's build script does not download LLVM.
        run(clippy.env("DOCS_RS", "1"))
    })?;
    let wgpu = &[&["test", "--features", "integration-tests/wgpu"], &NATIVE[..]].concat();
    steps.run("Build of the tests with wgpu", || run(cmd!(sh, "cargo {wgpu...} --no-run")))?;
    steps.run("Tests on wgpu", || {
        let on_wgpu = |tests: xshell::Cmd| {
            run(tests.env("REWIND_REQUIRE_GPU", "1").envs(tools.vulkan_variable()))
        };
        on_wgpu(cmd!(sh, "cargo {wgpu...} --lib --quiet -- kernels:: loss::"))?;
        on_wgpu(cmd!(sh, "cargo {wgpu...} --test integration --quiet -- gpu_training::"))
    })?;
    steps.print_summary();
    println!("\nall checks of the GPU backends passed");
    Ok(())
}

/// Runs the rules of the sources in seconds: they use only the standard library, so they need no
/// build of the other tests' dependencies.
fn rules(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.shell;
    fs::create_dir_all(&workspace.target)?;
    let program = workspace.target.join(format!("rewind-rules{}", std::env::consts::EXE_SUFFIX));
    let compile = || cmd!(sh, "rustc --edition=2024 --test tests/rules.rs -o {program}");
    run(compile())?;
    run(cmd!(sh, "{program} --quiet"))
        .with_context(|| format!("after a change, first: {}", line(&command(compile()))))
}
