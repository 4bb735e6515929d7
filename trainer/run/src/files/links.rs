//! Explains missing files by the targets of links.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Error, anyhow};

/// Adds the target of a broken link to the error of opening a file.
pub fn explained(error: io::Error, file: &Path) -> Error {
    let Ok(target) = fs::read_link(file) else { return error.into() };
    let target = target.to_string_lossy().replace('\\', "/");
    match error.kind() {
        ErrorKind::NotFound if target.contains("annex/objects/") => anyhow!(
            "expected a file, found a link of git-annex to contents that are not here (`git annex \
             get`, or `datalad get`, gets them)"
        ),
        ErrorKind::NotFound => {
            anyhow!("expected a file, found a link to {target}, which is not here")
        }
        _ => error.into(),
    }
}
