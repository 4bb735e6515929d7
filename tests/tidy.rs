//! Rules for the repository's files: no data, no paths of one machine, the disclaimer everywhere,
//! every test file in a binary, and a short top level. Each rule is a function of names or texts,
//! and each test shows that its rule can fail.

use crate::sources::{assert_no_violations, root, text, tracked_files};

const DISCLAIMER: &str = "Research use only, not a medical device";

/// Folders that exist on one machine only. The pieces keep this file from violating its own rule.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/tm", "p/"),
];

fn machine_paths(file: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    let violation = |(n, line): (usize, &str)| {
        let path = MACHINE_PATHS.iter().find(|path| line.contains(**path))?;
        Some(format!("{file}:{}: {path}", n + 1))
    };
    lines.filter_map(violation).collect()
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    assert_eq!(machine_paths("a.md", &format!("see {}x", MACHINE_PATHS[1])).len(), 1);
    assert_eq!(machine_paths("a.md", "see docs/x"), [""; 0]);

    let files = tracked_files().into_iter().filter(|file| file != "Cargo.lock");
    let texts = files.filter_map(|file| Some((text(&file)?, file)));
    let violations = texts.flat_map(|(text, file)| machine_paths(&file, &text));
    assert_no_violations(violations.collect(), "paths are relative to the repository");
}

/// Extensions of scans, weights and build products.
const DATA_EXTENSIONS: [&str; 15] = [
    ".nii",
    ".gz",
    ".dcm",
    ".mgz",
    ".mha",
    ".nrrd",
    ".hdr",
    ".img",
    ".safetensors",
    ".pt",
    ".pth",
    ".onnx",
    ".npy",
    ".npz",
    ".wasm",
];

const MAX_FILE_BYTES: u64 = 1 << 20;

/// The folders of the networks that the programs and the page need or offer, each with its card
/// inside.
const MODELS: [&str; 2] = ["model-core/models/", "web-viewer/models/"];

fn is_data(file: &str) -> bool {
    let is_model = MODELS.iter().any(|folder| file.starts_with(folder));
    let file = file.strip_suffix(".safetensors").filter(|_| is_model).unwrap_or(file);
    DATA_EXTENSIONS.iter().any(|extension| file.to_lowercase().ends_with(extension))
}

#[test]
fn no_data_is_tracked() {
    assert!(is_data("tests/T1.NII") && is_data("a/model.safetensors") && !is_data("nifti.rs"));
    assert!(!is_data("model-core/models/a.safetensors") && is_data("model-core/models/a.onnx"));

    let num_bytes = |file: &String| root().join(file).metadata().map_or(0, |m| m.len());
    let is_large = |file: &String| file != "Cargo.lock" && num_bytes(file) > MAX_FILE_BYTES;
    let data = tracked_files().into_iter().filter(|file| is_data(file) || is_large(file));
    assert_no_violations(data.collect(), "scans and weights stay out of the repository");
}

const TOP_FILES: [&str; 6] =
    ["Cargo.toml", "Cargo.lock", "README.md", "ARCHITECTURE.md", "LICENSE-MIT", "LICENSE-APACHE"];

const TOP_FOLDERS: [&str; 5] = ["model-core", "shaders", "trainer", "web-viewer", "tests"];

/// Returns whether a file is in one of the top folders, is one of the top files, or is hidden.
fn is_in_layout(file: &str) -> bool {
    match file.split_once('/') {
        Some((folder, _)) => TOP_FOLDERS.contains(&folder) || folder.starts_with('.'),
        None => TOP_FILES.contains(&file) || file.starts_with('.'),
    }
}

#[test]
fn the_top_level_has_a_folder_for_each_crate() {
    let inside = ["tests/main.rs", ".ci/run", ".github/a.md", ".typos.toml", "LICENSE-MIT"];
    assert!(inside.into_iter().all(is_in_layout));
    assert!(!["docs/a.md", "LICENSE", "README.md/a", "tests"].into_iter().any(is_in_layout));

    let outside = tracked_files().into_iter().filter(|file| !is_in_layout(file));
    assert_no_violations(outside.collect(), "the top level holds no other files and folders");
}

/// Roots of binaries and libraries in `tests/`.
const TEST_ROOTS: [&str; 3] = ["main", "lib", "rules"];

/// Returns the files of `tests/` that neither `main.rs` nor `lib.rs` declares as a module.
fn undeclared_tests(main: &str, lib: &str, files: &[String]) -> Vec<String> {
    let module =
        |file: &String| Some(file.strip_prefix("tests/")?.strip_suffix(".rs")?.to_string());
    let modules = files.iter().filter_map(module).filter(|module| !module.contains('/'));
    let is_declared = |module: &str| {
        let declaration = format!("mod {module};");
        let mut lines = main.lines().chain(lib.lines());
        lines.any(|line| line.trim_start_matches("pub ") == declaration)
    };
    modules.filter(|module| !TEST_ROOTS.contains(&&**module) && !is_declared(module)).collect()
}

#[test]
fn every_test_file_is_run() {
    let file = [String::from("tests/share.rs")];
    assert_eq!(undeclared_tests("mod shares;", "", &file), ["share"]);
    assert_eq!(undeclared_tests("mod share;", "", &file), [""; 0]);

    let [main, lib] = ["tests/main.rs", "tests/lib.rs"].map(|file| text(file).unwrap());
    let undeclared = undeclared_tests(&main, &lib, &tracked_files());
    assert_no_violations(undeclared, "tests/main.rs declares every file of tests/");
}

/// The files that must contain the disclaimer, each with the code or text that puts it there: the
/// page, the server's first lines, every share link, and the trainer's reports and exports.
const DISCLAIMER_SOURCES: [(&str, &str); 14] = [
    ("README.md", DISCLAIMER),
    ("web-viewer/index.html", DISCLAIMER),
    ("web-viewer/src/bin/rewind-serve.rs", DISCLAIMER),
    ("web-viewer/src/page/shapes_canvas.rs", "fill_text(DISCLAIMER"),
    ("web-viewer/surfaces/src/surface/glb.rs", "\"copyright\": DISCLAIMER"),
    ("web-viewer/surfaces/src/surface/stl.rs", "SPACE=LPS. {DISCLAIMER}"),
    ("web-viewer/src/share/format.rs", "PREFIX: &str = \"research-use-only."),
    ("model-core/src/texts.rs", DISCLAIMER),
    ("trainer/src/cli/evaluate.rs", "{DISCLAIMER}\", result.report()"),
    ("trainer/src/cli/export.rs", "{DISCLAIMER}\", bundle::describe"),
    ("trainer/export/src/bundle.rs", "_{DISCLAIMER}_"),
    ("trainer/data/src/inspect/report.rs", "sections.push(DISCLAIMER"),
    ("trainer/export/src/onnx.rs", "(\"disclaimer\", Value::from(DISCLAIMER))"),
    ("trainer/predict/src/record.rs", "DISCLAIMER"),
];

/// Returns the missing text, whose words may be divided over lines.
fn missing_disclaimer(file: &str, text: &str, expected: &str) -> Option<String> {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!joined.contains(expected)).then(|| format!("{file}: expected {expected:?}"))
}

#[test]
fn every_screen_and_report_carries_the_disclaimer() {
    let two_lines = "Research use only,\n  not a medical device.";
    assert!(missing_disclaimer("a.md", "for research", DISCLAIMER).is_some());
    assert!(missing_disclaimer("a.md", two_lines, DISCLAIMER).is_none());

    let missing = |(file, expected): &(&str, &str)| match root().join(file).is_file() {
        true => missing_disclaimer(file, &text(file).unwrap_or_default(), expected),
        false => Some(format!("{file}: expected this file")),
    };
    let missing = DISCLAIMER_SOURCES.iter().filter_map(missing).collect();
    assert_no_violations(missing, "the disclaimer is everywhere");
}
