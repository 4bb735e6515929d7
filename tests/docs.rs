//! The Markdown files: links lead somewhere, paths in backticks exist, the README stays short, and
//! every document carries the disclaimer.

use std::path::{Component, Path, PathBuf};

use crate::sources::{files, none, root, text};

const DISCLAIMER: &str = "Research use only, not a medical device";

const MAX_README_LINES: usize = 90;

/// Folders and files at which a path in backticks begins.
const PATH_STARTS: [&str; 9] = [
    ".cargo/",
    ".ci/",
    ".github/",
    "model-core/",
    "shaders/",
    "tests/",
    "trainer/",
    "web-viewer/",
    "Cargo.toml",
];

fn markdown() -> Vec<(String, String)> {
    let names = files().into_iter().filter(|file| file.ends_with(".md"));
    names.filter_map(|file| Some((text(&file)?, file))).map(|(text, file)| (file, text)).collect()
}

/// The lines outside code blocks, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if !is_code && !is_fence {
            lines.push((n + 1, line));
        }
    }
    lines
}

/// The fragment that leads to a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let letters = heading.trim().to_lowercase();
    let kept = letters.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line.trim_start_matches('#'))).collect()
}

/// The targets of inline links, `[text](target)`, and of pictures.
fn targets(line: &str) -> Vec<&str> {
    let after = line.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// The path without `.` and `..`.
fn normalized(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

/// Relative links that lead to no file, or to no heading of it; `read` returns a file's text, empty
/// for a folder, `None` where there is nothing.
fn dangling(file: &str, text: &str, read: impl Fn(&Path) -> Option<String>) -> Vec<String> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut broken = Vec::new();
    for (n, line) in prose(text) {
        for target in targets(line).into_iter().filter(|target| !target.contains("://")) {
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let linked = match path {
                "" => Some(text.to_string()),
                path => read(&normalized(&folder.join(path))),
            };
            let is_heading = |linked: &String| {
                fragment.is_empty() || anchors(linked).contains(&fragment.to_string())
            };
            if !linked.as_ref().is_some_and(is_heading) {
                broken.push(format!("{file}:{n}: {target}"));
            }
        }
    }
    broken
}

#[test]
fn links_lead_to_files_and_headings() {
    let read = |path: &Path| match path.to_str() {
        Some("a/b.md") => Some("# One, two (3)\n```\n# code\n```".to_string()),
        _ => None,
    };
    let broken = |link: &str| dangling("a/c/d.md", &format!("x [y]({link}) z"), read).len();
    assert_eq!(["../b.md", "../b.md#one-two-3", "https://example.org"].map(broken), [0; 3]);
    assert_eq!(["b.md", "../b.md#code", "#here"].map(broken), [1; 3]);

    let read = |path: &Path| match root().join(path) {
        // A folder or a picture has no headings.
        place if place.is_file() => Some(text(path).unwrap_or_default()),
        place => place.is_dir().then(String::new),
    };
    let all = markdown().into_iter().flat_map(|(file, text)| dangling(&file, &text, read));
    none(all.collect(), "a link leads to a file and a heading");
}

/// Paths of the repository in backticks that do not exist; those with a placeholder in capitals
/// (`NAME`) or a wildcard are left out.
fn missing_paths(file: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut missing = Vec::new();
    for (n, line) in prose(text) {
        for span in line.split('`').skip(1).step_by(2) {
            let is_path = PATH_STARTS.iter().any(|start| span.starts_with(start));
            let is_plain = !span.contains([' ', '*', '…']) && !span.contains("NAME");
            if is_path && is_plain && !exists(span) {
                missing.push(format!("{file}:{n}: {span}"));
            }
        }
    }
    missing
}

#[test]
fn paths_in_backticks_exist() {
    let missing = |text: &str| missing_paths("a.md", text, |path| path == "tests/main.rs").len();
    assert_eq!(missing("`tests/main.rs` and `tests/NAME.rs`, `rewind`"), 0);
    assert_eq!(missing("`tests/other.rs`"), 1);

    let exists = |path: &str| root().join(path).exists();
    let all = markdown().into_iter().flat_map(|(file, text)| missing_paths(&file, &text, exists));
    none(all.collect(), "a path in the documents exists");
}

#[test]
fn the_readme_is_short() {
    let num_lines = text("README.md").expect("a README in UTF-8").lines().count();
    let limit = MAX_README_LINES;
    assert!(num_lines <= limit, "README.md: expected at most {limit} lines, found {num_lines}");
}

#[test]
fn every_document_carries_the_disclaimer() {
    let lacks = |(_, text): &(String, String)| !text.contains(DISCLAIMER);
    let bare = markdown().into_iter().filter(lacks).map(|(file, _)| file).collect();
    none(bare, "\"Research use only, not a medical device\" stands in every document");
}
