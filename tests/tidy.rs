//! How the sources are kept: short, finished, free of one machine's paths and of patients' data.
//! Each rule is a function of a file's text, and a test shows that it can fail.

use crate::sources::{code, files, none, root, text};

const DISCLAIMER: &str = "Research use only, not a medical device";

/// The rule's findings in all files that `of` picks.
fn find(of: fn(&str) -> bool, rule: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let picked = files().into_iter().filter(|file| of(file));
    picked.filter_map(|file| Some((text(&file)?, file))).flat_map(|(t, f)| rule(&f, &t)).collect()
}

fn is_source(file: &str) -> bool {
    file.ends_with(".rs") || file.ends_with(".wgsl")
}

/// All text but the lock file, whose entries are not ours.
fn is_ours(file: &str) -> bool {
    file != "Cargo.lock"
}

fn length(file: &str, text: &str) -> Vec<String> {
    let (lines, most) = (text.lines().count(), if file.ends_with(".wgsl") { 100 } else { 450 });
    let long = lines > most;
    long.then(|| format!("{file}: expected at most {most} lines, found {lines}"))
        .into_iter()
        .collect()
}

#[test]
fn files_are_short() {
    assert_eq!(length("a.rs", &"\n".repeat(451)).len(), 1);
    assert_eq!(length("a.wgsl", &"\n".repeat(101)).len(), 1);
    assert_eq!(length("a.rs", &"\n".repeat(450)), [""; 0]);
    none(find(is_source, length), "a file has one subject");
}

/// Marks of unfinished work; in pieces, since this file is held to the rule too.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("unimplemented", "!"),
    concat!("todo", "!"),
    concat!("dbg", "!"),
    concat!("#[ign", "ore"),
];

/// Folders of one machine.
const PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/tm", "p/"),
];

fn words(file: &str, text: &str, words: &[&str]) -> Vec<String> {
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line));
    hits(file, lines, words)
}

fn hits<'a>(
    file: &str,
    lines: impl Iterator<Item = (usize, &'a str)>,
    words: &[&str],
) -> Vec<String> {
    let hit = |(n, line): (usize, &str)| {
        let word = words.iter().find(|word| line.contains(**word))?;
        Some(format!("{file}:{n}: {word}"))
    };
    lines.filter_map(hit).collect()
}

#[test]
fn nothing_is_left_unfinished() {
    assert_eq!(words("a.rs", UNFINISHED[3], &UNFINISHED).len(), 1);
    assert_eq!(words("a.rs", "to do", &UNFINISHED), [""; 0]);
    none(find(is_source, |file, text| words(file, text, &UNFINISHED)), "work is finished");
}

#[test]
fn no_path_of_one_machine_is_named() {
    assert_eq!(words("a.md", &format!("see {}x", PATHS[1]), &PATHS).len(), 1);
    none(find(is_ours, |file, text| words(file, text, &PATHS)), "paths are relative");
}

/// British forms of the words that the sources use; American spelling in code, CONVENTIONS 20.
const BRITISH: [&str; 9] = [
    "colour",
    "Colour",
    "grey",
    "centre",
    "tumour",
    "initialis",
    "normalis",
    "optimis",
    "behaviour",
];

fn spelling(file: &str, text: &str) -> Vec<String> {
    hits(file, code(text), &BRITISH)
}

#[test]
fn names_are_spelled_the_american_way() {
    assert_eq!(spelling("a.rs", "let colour = 1; // colour").len(), 1);
    assert_eq!(spelling("a.rs", "let color = 1; // colour"), [""; 0]);
    let others = |file: &str| is_source(file) && file != "tests/tidy.rs";
    none(find(others, spelling), "American spelling in code");
}

/// What a file's name may not end in: scans, weights, what was built.
const DATA: [&str; 15] = [
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

fn is_data(file: &str) -> bool {
    DATA.iter().any(|ending| file.to_lowercase().ends_with(ending))
}

#[test]
fn no_scan_and_no_weights_are_tracked() {
    assert!(is_data("tests/T1.NII") && is_data("a/model.safetensors") && !is_data("nifti.rs"));
    let size = |file: &String| root().join(file).metadata().map_or(0, |m| m.len());
    let large = |file: &String| file != "Cargo.lock" && size(file) > 1 << 20;
    let tracked = files().into_iter().filter(|file| is_data(file) || large(file)).collect();
    none(tracked, "data stays out of the repository");
}

/// Files of the top level; everything else lies in one of its folders or is hidden.
const TOP_FILES: [&str; 6] =
    ["Cargo.toml", "Cargo.lock", "README.md", "ARCHITECTURE.md", "LICENSE-MIT", "LICENSE-APACHE"];

const TOP_FOLDERS: [&str; 5] = ["model-core", "shaders", "trainer", "web-viewer", "tests"];

fn is_at_home(file: &str) -> bool {
    match file.split_once('/') {
        Some((folder, _)) => TOP_FOLDERS.contains(&folder) || folder.starts_with('.'),
        None => TOP_FILES.contains(&file) || file.starts_with('.'),
    }
}

#[test]
fn the_top_level_stays_as_it_is() {
    assert!(
        ["tests/main.rs", ".ci/run", ".github/a.md", "LICENSE-MIT"].into_iter().all(is_at_home)
    );
    assert!(!["docs/a.md", "LICENSE", "README.md/a", "tests"].into_iter().any(is_at_home));
    none(files().into_iter().filter(|file| !is_at_home(file)).collect(), "a folder for each crate");
}

/// Promises in `tests/` that no binary includes.
fn unlisted(main: &str, lib: &str, files: &[String]) -> Vec<String> {
    let name = |file: &String| Some(file.strip_prefix("tests/")?.strip_suffix(".rs")?.to_string());
    let promises = files.iter().filter_map(name).filter(|name| !name.contains('/'));
    let crates = ["main", "lib", "rules"];
    let listed = |name: &str| {
        let line = format!("mod {name};");
        crates.contains(&name)
            || [main, lib]
                .iter()
                .any(|text| text.lines().any(|l| l.trim_start_matches("pub ") == line))
    };
    promises.filter(|name| !listed(name)).collect()
}

#[test]
fn every_promise_is_run() {
    let file = [String::from("tests/share.rs")];
    assert_eq!(unlisted("mod shares;", "", &file), ["share"]);
    assert_eq!(unlisted("mod share;", "", &file), [""; 0]);
    let [main, lib] = ["tests/main.rs", "tests/lib.rs"].map(|file| text(file).unwrap());
    none(unlisted(&main, &lib, &files()), "tests/main.rs lists every file of tests/");
}

/// Dependencies that say neither on their own line nor above their group what they are for.
fn unexplained(manifest: &str) -> Vec<String> {
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let mut explained = false;
    let mut found = Vec::new();
    for line in table.lines().skip(1).take_while(|line| !line.starts_with('[')) {
        match line.trim() {
            "" => explained = false,
            line if line.starts_with('#') => explained = true,
            line if explained || line.contains("} #") || line.contains("\" #") => {}
            line if line.contains("{ path = ") => {}
            line => found.push(line.to_string()),
        }
    }
    found
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = "[workspace.dependencies]\n# Why.\na = \"1\"\n\nb = \"2\"\nc = \"3\" # why\n";
    assert_eq!(unexplained(manifest), ["b = \"2\""]);
    none(unexplained(&text("Cargo.toml").unwrap()), "a dependency is a decision");
}

/// Where the disclaimer must stand, and in which form: the page, the server's first lines, the
/// trainer's reports and exports (from its one constant), every link.
const SAYS_SO: [(&str, &str); 11] = [
    ("README.md", DISCLAIMER),
    ("web-viewer/index.html", DISCLAIMER),
    ("web-viewer/src/bin/rewind-serve.rs", DISCLAIMER),
    ("web-viewer/src/share.rs", "PREFIX: &str = \"research-use-only."),
    ("trainer/run/src/lib.rs", DISCLAIMER),
    ("trainer/src/cli/evaluate.rs", "{DISCLAIMER}\", result.report()"),
    ("trainer/src/cli/export.rs", "{DISCLAIMER}\", bundle::describe"),
    ("trainer/export/src/bundle.rs", "_{DISCLAIMER}_"),
    ("trainer/data/src/inspect/report.rs", "parts.push(DISCLAIMER"),
    ("trainer/export/src/onnx.rs", "(\"disclaimer\", Value::from(DISCLAIMER))"),
    ("trainer/predict/src/record.rs", "DISCLAIMER"),
];

fn silent(file: &str, text: &str, form: &str) -> Option<String> {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!joined.contains(form)).then(|| format!("{file}: expected {form:?}"))
}

#[test]
fn every_screen_and_report_says_that_it_is_for_research_only() {
    assert!(silent("a.md", "for research", DISCLAIMER).is_some());
    assert!(silent("a.md", "Research use only,\n  not a medical device.", DISCLAIMER).is_none());
    let said = |(file, form): &(&str, &str)| match root().join(file).is_file() {
        true => silent(file, &text(file).unwrap_or_default(), form),
        false => Some(format!("{file}: expected this file")),
    };
    none(SAYS_SO.iter().filter_map(said).collect(), "the disclaimer is everywhere");
}
