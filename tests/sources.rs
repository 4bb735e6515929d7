//! The sources as text, for the rules that they are held to. Only the standard library, so that
//! the rules run before anything else is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the root `Cargo.toml`: the nearest above the working folder that has a lock file.
pub fn root() -> PathBuf {
    let here = std::env::current_dir().expect("a working folder");
    let found = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    found.expect("a Cargo.lock in this folder or above it").to_path_buf()
}

/// Paths of the files that git tracks, with `/`, from the root.
pub fn files() -> Vec<String> {
    let mut git = Command::new("git");
    let output = git.args(["ls-files", "-z"]).current_dir(root()).output();
    let output = output.expect("git lists the files");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git cannot list the files: {error}");
    let listed = String::from_utf8(output.stdout).expect("file names in UTF-8");
    let files: Vec<String> = listed.split_terminator('\0').map(String::from).collect();
    // What is deleted but not committed is listed still.
    let files: Vec<String> = files.into_iter().filter(|file| root().join(file).is_file()).collect();
    assert!(files.len() > 20, "expected the project's files, found {files:?}");
    files
}

/// A file's text, or `None` where it is not text.
pub fn text(file: impl AsRef<Path>) -> Option<String> {
    let path = root().join(file);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8(bytes).ok()
}

/// The lines of a Rust or WGSL file with their numbers, without `//` comments.
pub fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = |line: &'_ str| {
        line.find("//").map_or(line.len(), |at| match at {
            0 => 0,
            // An address in a string.
            _ if line[..at].ends_with(':') => line.len(),
            _ => at,
        })
    };
    text.lines().enumerate().map(move |(n, line)| (n + 1, &line[..code(line)]))
}

/// Fails with the list of what breaks a rule.
pub fn none(broken: Vec<String>, rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}
