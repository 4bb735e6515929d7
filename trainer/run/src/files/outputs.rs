//! Protection of existing files. Rewind only replaces a file that it wrote itself, which it
//! recognizes by the content. Every other file with the name of an output is kept.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::{DISCLAIMER, files};

/// A kind of file that Rewind writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A bundle.
    Bundle,
    /// A network as ONNX.
    Onnx,
    /// A tensor of an ONNX test data set.
    OnnxTensor,
    /// A bundle's card as Markdown.
    Card,
    /// The report of a run.
    Report,
    /// The settings of a run.
    Settings,
    /// An evaluation as CSV.
    ScoresCsv,
    /// An evaluation as JSON.
    ScoresJson,
    /// A CSV file of `rewind inspect`.
    CaseTable,
}

/// The first bytes of an [`Output::OnnxTensor`]: its field `doc_string`.
pub const TENSOR_MARK: &str = "written by rewind export";
/// The first line of the settings in a run's folder.
pub const SETTINGS_MARK: &str = "# Written by rewind train: the settings of this run.\n";
/// The text above the title of a report.
pub const REPORT_MARK: &str = "Rewind · report of a training";

impl Output {
    /// Returns the name for messages.
    fn name(self) -> &'static str {
        match self {
            Output::Bundle => "a bundle",
            Output::Onnx => "an ONNX file",
            Output::OnnxTensor => "an ONNX tensor",
            Output::Card => "a model's card",
            Output::Report => "a report",
            Output::Settings => "a run's settings",
            Output::ScoresCsv => "an evaluation as CSV",
            Output::ScoresJson => "an evaluation as JSON",
            Output::CaseTable => "a table of cases",
        }
    }

    /// Returns whether Rewind wrote a file with these first bytes.
    fn is_at(self, start: &[u8]) -> bool {
        let text = String::from_utf8_lossy(start);
        let first_line = text.lines().next().unwrap_or_default();
        match self {
            // The length of the header comes first, in eight bytes.
            Output::Bundle => {
                start.get(8..).is_some_and(|s| s.starts_with(br#"{"__metadata__":{"rewind":"#))
            }
            // Protobuf: field 1, a number; then field 2, the name of the program.
            Output::Onnx => start.get(2..).is_some_and(|s| s.starts_with(b"\x12\x06rewind")),
            Output::OnnxTensor => {
                start.get(2..).is_some_and(|s| s.starts_with(TENSOR_MARK.as_bytes()))
            }
            Output::Card => {
                text.starts_with("# ")
                    && text.contains(&format!("\n\n_{DISCLAIMER}_\n\n"))
                    && text.contains("| | |\n|---|---|\n| channels |")
            }
            Output::Report => text.starts_with("<!DOCTYPE html>") && text.contains(REPORT_MARK),
            Output::Settings => text.starts_with(SETTINGS_MARK),
            Output::ScoresCsv => {
                first_line.starts_with("case,region,dice,")
                    && first_line.ends_with("has_prediction,empty_rule,tolerance_mm,surface")
            }
            Output::ScoresJson => {
                text.contains(DISCLAIMER) && text.contains("\"software\": \"rewind ")
            }
            Output::CaseTable => {
                first_line.starts_with("case,faults,warnings,orientation,voxels right,")
            }
        }
    }
}

/// Errors if a file exists that Rewind did not write as this kind.
///
/// # Errors
/// With the file's name.
pub fn check(kind: Output, file: &Path) -> Result<()> {
    let about = || format!("cannot write {}", file.display());
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.with_context(about)?,
    };
    let is_ours = match fs::metadata(file) {
        Ok(found) if found.is_dir() => {
            bail!("expected the name of a file, found the folder {}", file.display())
        }
        // A pipe or a device can always be written to.
        Ok(found) if !found.is_file() => return Ok(()),
        Ok(_) => kind.is_at(&files::start(file)?.0),
        // A broken link belongs to someone too.
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(about),
    };
    ensure!(
        is_ours,
        "expected a new file, or {} that Rewind wrote, which would be replaced; found another file, \
         which is kept: move it, or give another name (in {})",
        kind.name(),
        file.display()
    );
    Ok(())
}

/// Checks before long work that [`write()`] will accept a file and can write it.
///
/// # Errors
/// With the option that names the file.
pub fn prepare(option: &str, kind: Output, file: &Path) -> Result<()> {
    let writable = || -> Result<()> {
        check(kind, file)?;
        if fs::metadata(file).is_ok_and(|found| !found.is_file()) {
            return Ok(());
        }
        // Only an attempt finds missing permissions, full disks and read-only file systems.
        let part = files::part(files::folder_of(file));
        part.map(drop).with_context(|| format!("cannot write {}", file.display()))
    };
    writable().context(option.to_string())
}

/// Writes a whole file or nothing. It only replaces a file of the same kind that Rewind wrote.
///
/// # Errors
/// With the file's name.
pub fn write(kind: Output, file: &Path, bytes: &[u8]) -> Result<()> {
    check(kind, file)?;
    files::write(file, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [(Output, &[u8]); 9] = [
        (Output::Bundle, b"\x10\0\0\0\0\0\0\0{\"__metadata__\":{\"rewind\":\"{}\"}}"),
        (Output::Onnx, b"\x08\x0a\x12\x06rewind\x1a\x050.1.0"),
        (Output::OnnxTensor, b"\x62\x18written by rewind export\x08\x01"),
        (Output::Card, b"# Name\n\n_Research use only, not a medical device_\n\n| | |\n|---|---|\n| channels | T1 |\n"),
        (
            Output::Report,
            "<!DOCTYPE html>\n<p>Rewind · report of a training</p>".as_bytes(),
        ),
        (Output::Settings, b"# Written by rewind train: the settings of this run.\nseed = 1\n"),
        (
            Output::ScoresCsv,
            b"case,region,dice,hd95_mm,has_prediction,empty_rule,tolerance_mm,surface\n",
        ),
        (
            Output::ScoresJson,
            b"{\"disclaimer\": \"Research use only, not a medical device\",\n\"software\": \"rewind 1\"}",
        ),
        (Output::CaseTable, b"case,faults,warnings,orientation,voxels right,\n"),
    ];

    /// Tries files of others, and files of Rewind of another kind.
    #[test]
    fn only_a_file_of_its_own_kind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let others: [&[u8]; 6] = [
            b"",
            b"case,region,dice\n",
            b"{\"RepetitionTime\": 2.0}",
            b"\x08\x08\x12\x07pytorch",
            b"# My model\n",
            b"<!DOCTYPE html>\n<title>Mine</title>",
        ];
        for (kind, own) in KINDS {
            for bytes in others.into_iter().chain(KINDS.map(|(_, bytes)| bytes)) {
                fs::write(&file, bytes).unwrap();
                let written = write(kind, &file, own);
                assert_eq!(written.is_ok(), bytes == own, "{kind:?} over {bytes:?}");
                if let Err(error) = written {
                    assert!(error.to_string().ends_with(&format!("(in {})", file.display())));
                    assert_eq!(fs::read(&file).unwrap(), bytes, "{kind:?}");
                }
            }
            fs::remove_file(&file).unwrap();
            write(kind, &file, own).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_the_work_with_its_option() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "somebody's").unwrap();
        for (name, part) in [
            ("none/a.csv", "cannot write"),
            ("file/a.csv", "cannot write"),
            ("file", "which is kept"),
            ("", "found the folder"),
        ] {
            let error = prepare("--csv", Output::ScoresCsv, &path(name)).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.starts_with("--csv: ") && error.contains(part), "{error}");
        }
        prepare("--csv", Output::ScoresCsv, &path("a.csv")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "trying leaves nothing");
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_to_no_file_that_is_not_ours_and_devices_stay_devices() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("scan"), "voxels").unwrap();
        symlink(path("scan"), path("link")).unwrap();
        symlink(path("none"), path("dangling")).unwrap();
        for name in ["link", "dangling"] {
            assert!(write(Output::ScoresCsv, &path(name), b"x").is_err(), "{name}");
            assert!(path(name).is_symlink());
        }
        assert_eq!(fs::read(path("scan")).unwrap(), b"voxels");
        assert!(!path("none").exists());
        let null = Path::new("/dev/null");
        prepare("--csv", Output::ScoresCsv, null).unwrap();
        write(Output::ScoresCsv, null, b"x").unwrap();
        assert!(fs::metadata(null).unwrap().file_type().is_char_device());
    }
}
