//! Which crate may use what: the arrows of the design, held to what cargo resolves and to what the
//! sources say. That every WGSL file is valid and fits its `Params` is tested beside the kernels.

mod imports;

use std::collections::BTreeSet;
use std::process::Command;

use crate::sources::{assert_no_violations, code_lines, root, text, tracked_files};

const WASM: &str = "wasm32-unknown-unknown";

/// Names of all packages that a build of `package` takes in; `features` and `target` as cargo
/// takes them.
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

/// Those that are forbidden, by a name or by a prefix that ends in `*`.
fn forbidden(names: &BTreeSet<String>, rules: &[&str]) -> Vec<String> {
    let breaks = |name: &&String| {
        rules.iter().any(|rule| match rule.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == rule,
        })
    };
    names.iter().filter(breaks).cloned().collect()
}

fn check(package: &str, features: &str, target: &str, rules: &[&str]) {
    let found = forbidden(&dependencies(package, features, target), rules);
    assert_no_violations(
        found,
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
fn the_domain_knows_no_network_library_gpu_page_or_command_line() {
    let rules = ["burn*", "cubecl*", "wgpu*", "naga", "leptos*", "axum*", "tokio", "clap*"];
    check("model-core", "", "", &rules);
    check("model-core", "", WASM, &rules);
    check("model-core", "burn", "", &["wgpu*", "leptos*", "axum*", "clap*", "shaders"]);
}

#[test]
fn the_engine_knows_neither_burn_nor_the_page() {
    for target in ["", WASM] {
        check("shaders", "", target, &["burn*", "cubecl*", "leptos*", "axum*", "clap*", "trainer"]);
    }
}

#[test]
fn the_page_and_its_server_know_no_burn() {
    check("web-viewer", "", WASM, &["burn*", "cubecl*", "trainer", "axum*", "tokio", "clap*"]);
    check("web-viewer", "server", "", &["burn*", "cubecl*", "trainer", "leptos*"]);
}

#[test]
fn the_trainer_knows_no_page() {
    check("trainer", "", "", &["leptos*", "wasm-bindgen*", "axum*", "web-viewer"]);
}

#[test]
fn the_projects_own_commands_only_spawn_commands() {
    check(
        "xtask",
        "",
        "",
        &["model-core", "shaders", "trainer", "web-viewer", "integration-tests"],
    );
}

/// Each package's features in a build with these kinds of dependencies, as `cargo xtask` selects
/// packages.
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

/// In one build with features that the other does not have: compiled twice, with all that uses it.
#[test]
fn the_programs_and_the_tests_share_every_dependency() {
    let (programs, tests) = (features("normal,build"), features("normal,build,dev"));
    assert!(programs.iter().any(|line| line.starts_with("burn ")), "{programs:?}");
    let twice = programs.difference(&tests).cloned().collect();
    assert_no_violations(twice, "tests add no features to what the programs use");
}

/// Lines of code, up to a file's tests, that name something forbidden.
fn mentions(file: &str, text: &str, names: &[&str]) -> Vec<String> {
    let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
    let hit = |(n, line): (usize, &str)| {
        let name = names.iter().find(|name| line.contains(**name))?;
        Some(format!("{file}:{n}: {name}"))
    };
    code_lines(&text[..tests]).filter_map(hit).collect()
}

fn mentions_in(folder: &str, names: &[&str]) -> Vec<String> {
    let inside = tracked_files().into_iter().filter(|file| file.starts_with(folder));
    let rust: Vec<String> = inside.filter(|file| file.ends_with(".rs")).collect();
    assert!(!rust.is_empty(), "expected sources in {folder}, found none");
    rust.iter().flat_map(|file| mentions(file, &text(file).unwrap_or_default(), names)).collect()
}

#[test]
fn the_domain_opens_no_file_and_reads_no_clock() {
    let names = ["std::fs", "std::net", "std::env", "std::time", "Instant", "SystemTime", "wgpu::"];
    assert_eq!(mentions("a.rs", "use std::fs;\n// std::net", &names), ["a.rs:1: std::fs"]);
    assert_no_violations(mentions_in("model-core/src/", &names), "bytes in, bytes out");
}

#[test]
fn only_the_engine_touches_the_gpu() {
    assert_no_violations(mentions_in("web-viewer/src/", &["wgpu::"]), "the page asks the engine");
    assert_no_violations(
        mentions_in("trainer/src/", &["wgpu::"]),
        "the trainer asks burn, or the engine",
    );
}

/// Kernels that lack their neighbour: a `.wgsl` needs the `.rs` of its name, with its `Params`
/// where it declares some, and a plain-Rust reference.
fn lonely(files: &[String], text: impl Fn(&str) -> String) -> Vec<String> {
    // Without an entry point it is a part of kernels, which their references hold too.
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
fn every_kernel_stands_beside_its_reference() {
    let pair = [String::from("k/add.rs"), String::from("k/add.wgsl")];
    let host = "struct Params {}\npub fn reference() {}";
    let shader = "struct Params { n: u32 }";
    let text_of = |host: &str| {
        let host = host.to_string();
        move |file: &str| if file.ends_with(".rs") { host.clone() } else { shader.to_string() }
    };
    assert_eq!(lonely(&pair, text_of(host)), [""; 0]);
    assert_eq!(lonely(&pair, text_of("struct Params {}")).len(), 1);
    assert_eq!(lonely(&pair, text_of("pub fn reference() {}")).len(), 1);
    assert_eq!(lonely(&pair[1..], text_of(host)).len(), 1);

    let ours = tracked_files();
    let elsewhere = |file: &&String| file.ends_with(".wgsl") && !file.starts_with("shaders/src/");
    assert_no_violations(
        ours.iter().filter(elsewhere).cloned().collect(),
        "kernels lie in shaders/src",
    );
    assert_no_violations(
        lonely(&ours, |file| text(file).unwrap_or_default()),
        "a kernel is two neighbors",
    );
}
