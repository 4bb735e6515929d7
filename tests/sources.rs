//! Reads the sources as text for the rules that they must follow. Uses only the standard library,
//! so that the rules run before anything else is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the workspace's folder: the nearest ancestor of the working folder with a `Cargo.lock`.
pub fn root() -> PathBuf {
    let working_folder = std::env::current_dir().expect("a working folder");
    let root = working_folder.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    root.expect("a Cargo.lock in this folder or above it").to_path_buf()
}

/// Returns the paths of the files that git tracks, relative to the root, with `/`.
pub fn tracked_files() -> Vec<String> {
    let mut git = Command::new("git");
    let output = git.args(["ls-files", "-z"]).current_dir(root()).output();
    let output = output.expect("git lists the files");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git cannot list the files: {error}");
    let listed = String::from_utf8(output.stdout).expect("file names in UTF-8");
    let files: Vec<String> = listed.split_terminator('\0').map(String::from).collect();
    // Git also lists files whose deletion is not committed.
    let files: Vec<String> = files.into_iter().filter(|file| root().join(file).is_file()).collect();
    assert!(files.len() > 20, "expected the project's files, found {files:?}");
    files
}

/// Returns a file's text, or `None` if it is not UTF-8.
pub fn text(file: impl AsRef<Path>) -> Option<String> {
    let path = root().join(file);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8(bytes).ok()
}

/// Iterates over the numbered lines of a Rust or WGSL file, without `//` comments.
pub fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code_end = |line: &'_ str| {
        line.find("//").map_or(line.len(), |start| match start {
            0 => 0,
            // The `//` of an address in a string.
            _ if line[..start].ends_with(':') => line.len(),
            _ => start,
        })
    };
    text.lines().enumerate().map(move |(n, line)| (n + 1, &line[..code_end(line)]))
}

/// Asserts that a rule has no violations.
///
/// # Panics
/// With the list of violations if there are any.
pub fn assert_no_violations(violations: Vec<String>, rule: &str) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}
