//! A file to be opened.

/// A file as the user gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceFile {
    /// The path within the dropped folder or archive.
    pub path: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}
