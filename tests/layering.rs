//! Rules for the dependencies between crates, checked in cargo's dependency tree and in the
//! sources. The tests of `shaders` check that every WGSL file is valid and fits its `Params`.

mod imports;

use std::collections::BTreeSet;
use std::process::Command;

use crate::sources::{assert_no_violations, code_lines, root, text, tracked_files};

const WASM: &str = "wasm32-unknown-unknown";

/// Returns the names of all packages in a build of `package`. `features` and `target` are cargo's.
fn dependencies(package: &str, features: &str, target: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}"]);
    cargo.args(["-p", package, "--features", features]);
    if !target.is_empty() {
        cargo.args(["--target", target]);
    }
    let output = cargo.current_dir(root()).output().expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree of {package}: {error}");
    let lines = String::from_utf8(output.stdout).expect("names in UTF-8");
    let name = |line: &str| line.split_whitespace().next().map(String::from);
    let names: BTreeSet<String> = lines.lines().filter_map(name).collect();
    assert!(names.contains(package), "expected {package} in its own tree, found {names:?}");
    names
}

/// Returns the names that a rule forbids. A rule is a name, or a prefix with `*`.
fn forbidden(names: &BTreeSet<String>, rules: &[&str]) -> Vec<String> {
    let is_forbidden = |name: &&String| {
        rules.iter().any(|rule| match rule.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == rule,
        })
    };
    names.iter().filter(is_forbidden).cloned().collect()
}

/// Asserts that a build of a package contains no forbidden package.
fn check(package: &str, features: &str, target: &str, rules: &[&str]) {
    let violations = forbidden(&dependencies(package, features, target), rules);
    assert_no_violations(
        violations,
        &format!("{package} with [{features}] for [{target}] does not use"),
    );
}

#[test]
fn a_forbidden_dependency_is_found() {
    let names = dependencies("trainer", "", "");
    assert_eq!(forbidden(&names, &["model-core"]), ["model-core"]);
    assert!(forbidden(&names, &["burn*"]).contains(&"burn-flex".to_string()));
}

#[test]
fn model_core_uses_no_gpu_library_page_or_command_line() {
    let rules = ["burn*", "cubecl*", "wgpu*", "naga", "leptos*", "axum*", "tokio", "clap*"];
    check("model-core", "", "", &rules);
    check("model-core", "", WASM, &rules);
    check("model-core", "burn", "", &["wgpu*", "leptos*", "axum*", "clap*", "shaders"]);
    check("cpu-kernels", "threads", "", &["model-core", "burn*", "cubecl*", "serde*"]);
}

#[test]
fn the_engine_uses_neither_burn_nor_the_page() {
    for target in ["", WASM] {
        check("shaders", "", target, &["burn*", "cubecl*", "leptos*", "axum*", "clap*", "trainer"]);
    }
}

#[test]
fn the_page_and_its_server_do_not_use_burn() {
    let rules = ["burn*", "cubecl*", "rayon*", "trainer", "axum*", "tokio", "clap*"];
    check("web-page", "", WASM, &rules);
    check("web-viewer", "server", "", &["burn*", "cubecl*", "trainer", "leptos*"]);
}

#[test]
fn the_trainer_does_not_use_the_page() {
    check("trainer", "", "", &["leptos*", "wasm-bindgen*", "axum*", "web-viewer"]);
}

#[test]
fn xtask_uses_no_crate_of_the_project() {
    check(
        "xtask",
        "",
        "",
        &["model-core", "shaders", "trainer", "web-viewer", "integration-tests"],
    );
}

/// Returns every package with its features, in a build with the given kinds of dependencies and the
/// package selection of `cargo xtask`.
fn features(edges: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["tree", "--locked", "--workspace", "--exclude=xtask", "--prefix=none"]);
    let output = cargo.args(["--format={p} [{f}]", "--edges", edges]).current_dir(root()).output();
    let output = output.expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {error}");
    let lines = String::from_utf8(output.stdout).expect("names in UTF-8");
    lines.lines().map(|line| line.trim_end_matches(" (*)").to_string()).collect()
}

/// A package with other features in the tests would be compiled twice, with everything that uses
/// it.
#[test]
fn the_programs_and_the_tests_share_every_dependency() {
    let (programs, tests) = (features("normal,build"), features("normal,build,dev"));
    assert!(programs.iter().any(|line| line.starts_with("burn ")), "{programs:?}");
    let twice = programs.difference(&tests).cloned().collect();
    assert_no_violations(twice, "tests add no features to the dependencies of the programs");
}

/// Returns the lines of code, up to a file's tests, that contain a forbidden name.
fn mentions(file: &str, text: &str, names: &[&str]) -> Vec<String> {
    let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
    let violation = |(n, line): (usize, &str)| {
        let name = names.iter().find(|name| line.contains(**name))?;
        Some(format!("{file}:{n}: {name}"))
    };
    code_lines(&text[..tests]).filter_map(violation).collect()
}

fn mentions_in(folder: &str, names: &[&str]) -> Vec<String> {
    let inside = tracked_files().into_iter().filter(|file| file.starts_with(folder));
    let rust: Vec<String> = inside.filter(|file| file.ends_with(".rs")).collect();
    assert!(!rust.is_empty(), "expected sources in {folder}, found none");
    rust.iter().flat_map(|file| mentions(file, &text(file).unwrap_or_default(), names)).collect()
}

#[test]
fn model_core_opens_no_file_and_reads_no_clock() {
    let names = ["std::fs", "std::net", "std::env", "std::time", "Instant", "SystemTime", "wgpu::"];
    assert_eq!(mentions("a.rs", "use std::fs;\n// std::net", &names), ["a.rs:1: std::fs"]);
    assert_no_violations(
        mentions_in("model-core/src/", &names),
        "model-core takes bytes and returns bytes",
    );
}

#[test]
fn only_the_engine_uses_the_gpu() {
    assert_no_violations(
        mentions_in("web-viewer/src/", &["wgpu::"]),
        "the page uses the GPU through the engine",
    );
    assert_no_violations(
        mentions_in("trainer/src/", &["wgpu::"]),
        "the trainer uses the GPU through burn or the engine",
    );
}

/// Returns the kernels without a reference. A `.wgsl` file needs an `.rs` file of the same name,
/// with the same `Params` if it declares any, and with a reference in plain Rust.
fn without_reference(files: &[String], text: impl Fn(&str) -> String) -> Vec<String> {
    // A common file without an entry point is part of kernels, whose references cover it.
    let is_kernel = |file: &&String| !file.contains("/common/") || text(file).contains("@compute");
    let kernels = files.iter().filter(is_kernel).filter_map(|file| file.strip_suffix(".wgsl"));
    let missing = |kernel: &str| {
        let rust = format!("{kernel}.rs");
        if !files.contains(&rust) {
            return Some(format!("{kernel}.wgsl: expected {rust}"));
        }
        let (shader, host) = (text(&format!("{kernel}.wgsl")), text(&rust));
        if shader.contains("struct Params") && !host.contains("struct Params") {
            return Some(format!("{rust}: expected `struct Params`, as in the shader"));
        }
        (!host.contains("pub fn reference")).then(|| format!("{rust}: expected `pub fn reference`"))
    };
    kernels.filter_map(missing).collect()
}

#[test]
fn every_kernel_has_a_reference_beside_it() {
    let pair = [String::from("k/add.rs"), String::from("k/add.wgsl")];
    let host = "struct Params {}\npub fn reference() {}";
    let shader = "struct Params { n: u32 }";
    let text_of = |host: &str| {
        let host = host.to_string();
        move |file: &str| if file.ends_with(".rs") { host.clone() } else { shader.to_string() }
    };
    assert_eq!(without_reference(&pair, text_of(host)), [""; 0]);
    assert_eq!(without_reference(&pair, text_of("struct Params {}")).len(), 1);
    assert_eq!(without_reference(&pair, text_of("pub fn reference() {}")).len(), 1);
    assert_eq!(without_reference(&pair[1..], text_of(host)).len(), 1);

    let files = tracked_files();
    let elsewhere = |file: &&String| file.ends_with(".wgsl") && !file.starts_with("shaders/src/");
    assert_no_violations(
        files.iter().filter(elsewhere).cloned().collect(),
        "kernels are in shaders/src",
    );
    assert_no_violations(
        without_reference(&files, |file| text(file).unwrap_or_default()),
        "a kernel is a pair of a .wgsl file and an .rs file",
    );
}
