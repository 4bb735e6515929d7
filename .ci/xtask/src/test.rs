//! Everything that checks the project, the cheapest first.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{cargo, line, run};
use crate::fuzz::fuzz;
use crate::page;
use crate::steps::Steps;
use crate::tools::{Tools, WASM, wasm_target};
use crate::workspace::{NATIVE, Workspace};

/// Runs all checks and stops at the first that fails.
///
/// # Errors
/// When a check fails; the error says how to run it again.
pub fn test(workspace: &Workspace) -> Result<()> {
    let steps = &mut Steps::new();
    let cargo = |args: &[&str]| {
        let mut command = cargo(args);
        command.current_dir(&workspace.root);
        command
    };
    let deny: &[&str] = &["--", "-D", "warnings"];
    let page = ["-p", "web-viewer", "-p", "bench-page", "--lib", "--target", WASM];

    let tools = steps.run("Tools that the checks need", || {
        wasm_target()?;
        Tools::find_or_install()
    })?;
    steps.run("Format", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.run("Rules of the sources and of the crates' directions", || rules(workspace))?;
    steps.run("Lints", || {
        run(&mut cargo(&[&["clippy", "--workspace", "--all-targets"], deny].concat()))
    })?;
    steps.run("Lints of the page", || run(&mut cargo(&[&["clippy"], &page[..], deny].concat())))?;
    steps.run("Documentation", || {
        let doc = |args: &[&str]| run(cargo(args).env("RUSTDOCFLAGS", "-D warnings"));
        doc(&["doc", "--workspace", "--no-deps"])?;
        doc(&[&["doc", "--no-deps"], &page[..]].concat())
    })?;
    steps.run("Build of the tests", || {
        run(&mut cargo(&[&["test", "--no-run"], NATIVE].concat()))?;
        run(&mut cargo(&["test", "--no-run", "-p", "xtask"]))
    })?;
    steps.run("Tests", || {
        run(&mut cargo(&["test", "--quiet", "-p", "xtask"]))?;
        // The browser's tests need the page, which is built later.
        let skip = ["--", "--skip", "browser::"];
        let mut tests = cargo(&[&["test"], NATIVE, &skip[..]].concat());
        tests.env("REWIND_REQUIRE_GPU", "1");
        if let Some(description) = &tools.software_vulkan {
            tests.env("VK_ICD_FILENAMES", description);
        }
        run(&mut tests)
    })?;
    steps.run("Files from outside, changed at random", || {
        fuzz(workspace, &["--iterations", "2000"])
    })?;
    steps.run("Build of the page", || page::build(workspace, &workspace.page()))?;
    steps.run("Test in a browser", || {
        run(&mut cargo(&[&["build", "--bins"], NATIVE].concat()))?;
        let only = ["--test", "promises", "--", "browser::", "--nocapture"];
        let mut tests = cargo(&[&["test"], NATIVE, &only[..]].concat());
        tests.env("REWIND_REQUIRE_BROWSER", "1");
        tests.env("REWIND_BIN", workspace.program("rewind"));
        tests.env("REWIND_SERVE_BIN", workspace.program("rewind-serve"));
        tests.env("REWIND_PAGE", workspace.page());
        tests.env("REWIND_SCREENSHOT", workspace.target.join("rewind-screenshot"));
        tests.env("CHROME", &tools.browser).env("CHROMEDRIVER", &tools.driver);
        run(&mut tests)
    })?;
    steps.summary();
    println!("\nall checks passed");
    Ok(())
}

/// Checks the GPU backends: that they compile for CUDA, and on wgpu that the kernels compute what the
/// CPU's do and that a network trains. Apart from the rest, since they take long to compile.
///
/// # Errors
/// When a check fails; the error says how to run it again.
pub fn gpu(workspace: &Workspace) -> Result<()> {
    let steps = &mut Steps::new();
    let cargo = |args: &[&str]| {
        let mut command = cargo(args);
        command.current_dir(&workspace.root);
        command
    };
    let tools = steps.run("Tools that the checks need", Tools::find_or_install)?;
    steps.run("The CUDA build compiles, without a lint", || {
        // DOCS_RS: the code generator's build script then does not fetch LLVM.
        let packages = ["-p", "trainer", "-p", "model-core", "--features", "trainer/cuda"];
        let deny: &[&str] = &["--", "-D", "warnings"];
        run(cargo(&[&["clippy"], &packages[..], deny].concat()).env("DOCS_RS", "1"))
    })?;
    let wgpu = [&["test", "--features", "promises/wgpu"], NATIVE].concat();
    steps.run("Build of the tests with wgpu", || {
        run(&mut cargo(&[&wgpu[..], &["--no-run"]].concat()))
    })?;
    steps.run("Tests on wgpu", || {
        let on_wgpu = |only: &[&str]| {
            let mut tests = cargo(&[&wgpu[..], only].concat());
            tests.env("REWIND_REQUIRE_GPU", "1");
            if let Some(description) = &tools.software_vulkan {
                tests.env("VK_ICD_FILENAMES", description);
            }
            run(&mut tests)
        };
        on_wgpu(&["--lib", "--quiet", "--", "kernels::", "loss::"])?;
        on_wgpu(&["--test", "promises", "--quiet", "--", "gpu_training::"])
    })?;
    steps.summary();
    println!("\nall checks of the GPU backends passed");
    Ok(())
}

/// Runs the rules in seconds: they need nothing but the standard library, so they do not have to
/// wait for the build of everything that the other promises use.
fn rules(workspace: &Workspace) -> Result<()> {
    fs::create_dir_all(&workspace.target)?;
    let program = workspace.target.join(format!("rewind-rules{}", std::env::consts::EXE_SUFFIX));
    let mut compile = Command::new("rustc");
    compile.args(["--edition=2024", "--test", "tests/rules.rs", "-o"]).arg(&program);
    run(compile.current_dir(&workspace.root))?;
    run(Command::new(&program).arg("--quiet").current_dir(&workspace.root))
        .with_context(|| format!("after a change, first: {}", line(&compile)))
}
