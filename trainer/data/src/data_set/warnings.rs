//! Collects warnings about many files, so that each kind is printed once.

use std::path::Path;
use std::sync::Mutex;

/// Counts warnings by kind, in the order in which the kinds were found. Sentences that differ only
/// by their numbers are of one kind.
#[derive(Debug, Default)]
pub struct WarningCounts(Mutex<Vec<WarningKind>>);

#[derive(Debug)]
struct WarningKind {
    without_numbers: String,
    count: usize,
    /// The first warning of this kind, with its file.
    first: String,
}

/// Removes the numbers from a sentence.
pub(super) fn without_numbers(text: &str) -> String {
    let is_digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    let is_point = |at: usize| {
        bytes[at] == b'.' && is_digit(bytes.get(at + 1)) && is_digit(bytes.get(at.wrapping_sub(1)))
    };
    let kept = |(at, c): &(usize, char)| !c.is_ascii_digit() && !is_point(*at);
    text.char_indices().filter(kept).map(|(_, c)| c).collect()
}

impl WarningCounts {
    /// Counts a warning about a file.
    pub fn add(&self, text: &str, file: &Path) {
        let mut kinds = self.0.lock().expect("no thread panics while it holds this");
        let without_numbers = without_numbers(text);
        match kinds.iter_mut().find(|kind| kind.without_numbers == without_numbers) {
            Some(kind) => kind.count += 1,
            None => kinds.push(WarningKind {
                without_numbers,
                count: 1,
                first: format!("{text} (in {})", file.display()),
            }),
        }
    }

    /// Returns a line for each kind: the number of files, and the first warning.
    pub fn lines(&self) -> Vec<String> {
        let kinds = self.0.lock().expect("no thread panics while it holds this");
        let line = |kind: &WarningKind| match kind.count {
            1 => format!("warning: {}", kind.first),
            count => format!("warning, {count} files: {}", kind.first),
        };
        kinds.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_decimal_points_are_removed() {
        assert_eq!(
            without_numbers("It lies 0.05 off. It is 3. end."),
            "It lies  off. It is . end."
        );
        assert_eq!(without_numbers(".5"), ".");
    }

    #[test]
    fn a_kind_is_printed_once_with_its_first_file() {
        let warnings = WarningCounts::default();
        warnings.add("It lies 0.05 voxels off.", Path::new("a.nii"));
        warnings.add("It lies 0.071 voxels off.", Path::new("b.nii"));
        warnings.add("It states nothing.", Path::new("b.nii"));
        let lines = [
            "warning, 2 files: It lies 0.05 voxels off. (in a.nii)",
            "warning: It states nothing. (in b.nii)",
        ];
        assert_eq!(warnings.lines(), lines);
    }
}
