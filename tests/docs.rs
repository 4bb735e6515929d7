//! Rules for the Markdown files: links and paths in backticks exist, the README is short, and every
//! document carries the disclaimer.

use std::path::{Component, Path, PathBuf};

use crate::sources::{assert_no_violations, root, text, tracked_files};

const DISCLAIMER: &str = "Research use only, not a medical device";

const MAX_README_LINES: usize = 90;

/// The beginnings by which a text in backticks is recognized as a path of the repository.
const PATH_PREFIXES: [&str; 9] = [
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

/// Returns the name and the text of each document.
fn documents() -> Vec<(String, String)> {
    let files = tracked_files().into_iter().filter(|file| file.ends_with(".md"));
    files.filter_map(|file| text(&file).map(|text| (file, text))).collect()
}

/// Returns the numbered lines outside code blocks.
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

/// Returns the fragment of a heading's link, as GitHub makes it.
fn heading_anchor(heading: &str) -> String {
    let letters = heading.trim().to_lowercase();
    let allowed = letters.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    allowed.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn heading_anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| heading_anchor(line.trim_start_matches('#'))).collect()
}

/// Returns the targets of inline links, `[text](target)`, and of pictures.
fn link_targets(line: &str) -> Vec<&str> {
    let rests = line.split("](").skip(1);
    rests.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// Removes `.` and `..` from a path.
fn normalized(path: &Path) -> PathBuf {
    let mut normalized = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normalized.pop();
            }
            Component::CurDir => {}
            component => normalized.push(component),
        }
    }
    normalized
}

/// Returns the relative links that lead to no file, or to no heading of the file.
///
/// `read` returns a file's text, an empty text for a folder, and `None` if the path does not exist.
fn broken_links(file: &str, text: &str, read: impl Fn(&Path) -> Option<String>) -> Vec<String> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut broken = Vec::new();
    for (n, line) in prose(text) {
        for target in link_targets(line).into_iter().filter(|target| !target.contains("://")) {
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let linked = match path {
                "" => Some(text.to_string()),
                path => read(&normalized(&folder.join(path))),
            };
            let has_heading = |linked: &String| {
                fragment.is_empty() || heading_anchors(linked).contains(&fragment.to_string())
            };
            if !linked.as_ref().is_some_and(has_heading) {
                broken.push(format!("{file}:{n}: {target}"));
            }
        }
    }
    broken
}

#[test]
fn links_lead_to_existing_files_and_headings() {
    let read = |path: &Path| match path.to_str() {
        Some("a/b.md") => Some("# One, two (3)\n```\n# code\n```".to_string()),
        _ => None,
    };
    let broken = |link: &str| broken_links("a/c/d.md", &format!("x [y]({link}) z"), read).len();
    assert_eq!(["../b.md", "../b.md#one-two-3", "https://example.org"].map(broken), [0; 3]);
    assert_eq!(["b.md", "../b.md#code", "#here"].map(broken), [1; 3]);

    let read = |path: &Path| match root().join(path) {
        // A folder or a picture has no headings.
        full if full.is_file() => Some(text(path).unwrap_or_default()),
        full => full.is_dir().then(String::new),
    };
    let all = documents().into_iter().flat_map(|(file, text)| broken_links(&file, &text, read));
    assert_no_violations(all.collect(), "links lead to existing files and headings");
}

/// Returns the paths in backticks that do not exist. Ignores paths with a placeholder (`NAME`) or a
/// wildcard.
fn missing_paths(file: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut missing = Vec::new();
    for (n, line) in prose(text) {
        for span in line.split('`').skip(1).step_by(2) {
            let is_path = PATH_PREFIXES.iter().any(|prefix| span.starts_with(prefix));
            let is_complete = !span.contains([' ', '*', '…']) && !span.contains("NAME");
            if is_path && is_complete && !exists(span) {
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
    let all = documents().into_iter().flat_map(|(file, text)| missing_paths(&file, &text, exists));
    assert_no_violations(all.collect(), "paths in documents exist");
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
    let without = documents().into_iter().filter(lacks).map(|(file, _)| file).collect();
    assert_no_violations(without, "every document carries the disclaimer");
}
