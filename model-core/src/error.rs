//! The errors of this crate, with messages for the user who gave the input.

/// An error of an input. Nothing else in this crate can fail.
///
/// A message states what was expected and what was found. It ends with the file if it is known (see
/// [`Error::in_file`]).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a readable scan.
    #[error("cannot read this as a NIfTI scan: expected {expected}, found {found}")]
    Nifti {
        /// The content of a valid file.
        expected: String,
        /// The content of this file.
        found: String,
    },
    /// The bytes are not a readable file of another format of scans, or of an archive.
    #[error("cannot read this {format}: expected {expected}, found {found}")]
    Format {
        /// The format, such as "DICOM file".
        format: &'static str,
        /// The content of a valid file.
        expected: String,
        /// The content of this file.
        found: String,
    },
    /// The scan can be read but not used.
    #[error("the scan cannot be used: expected {expected}, found {found}")]
    Scan {
        /// The requirement.
        expected: String,
        /// The input that violates it.
        found: String,
    },
    /// Affines, dimensions or spacings are invalid or do not fit together.
    #[error("the geometry does not fit: expected {expected}, found {found}")]
    Geometry {
        /// The requirement.
        expected: String,
        /// The input that violates it.
        found: String,
    },
    /// A label map has codes that the task does not name.
    #[error("the labels do not fit the task: expected {expected}, found {found}")]
    Labels {
        /// The task's codes.
        expected: String,
        /// The codes that the task does not name.
        found: String,
    },
    /// A task or a data set's description cannot be used.
    #[error("the task cannot be used: expected {expected}, found {found}")]
    Task {
        /// The requirement.
        expected: String,
        /// The input that violates it.
        found: String,
    },
    /// A network configuration is invalid, or does not fit its weights or its input.
    #[error("the network cannot be used: expected {expected}, found {found}")]
    Network {
        /// The requirement.
        expected: String,
        /// The input that violates it.
        found: String,
    },
    /// The bytes are not a readable bundle.
    #[error("cannot read this as a model bundle: expected {expected}, found {found}")]
    Bundle {
        /// The content of a valid bundle.
        expected: String,
        /// The content of this bundle.
        found: String,
    },
    /// A label map cannot be written as segments.
    #[error("the segmentation cannot be written: expected {expected}, found {found}")]
    Segmentation {
        /// The requirement.
        expected: String,
        /// The input that violates it.
        found: String,
    },
    /// The bytes are not text.
    #[error("cannot read this as text: expected {expected}, found {found}")]
    Text {
        /// The requirement.
        expected: String,
        /// The input that violates it.
        found: String,
    },
    /// A size exceeds its limit. The size is known before memory is allocated.
    #[error("{what} is too large: expected at most {limit_bytes} bytes, found {found_bytes}")]
    TooLarge {
        /// The object with this size.
        what: &'static str,
        /// The largest accepted size.
        limit_bytes: u64,
        /// The size of the input.
        found_bytes: u64,
    },
    /// An error of a case. Each of its files may be valid.
    #[error("{error} (case {case})")]
    InCase {
        /// The case's name.
        case: String,
        /// The error. It is not the `source`, which a chain of errors would print twice.
        error: Box<Error>,
    },
    /// An error with the file that caused it.
    #[error("{error} (in {file})")]
    InFile {
        /// The file's name, as the user gave it.
        file: String,
        /// The error. It is not the `source`, which a chain of errors would print twice.
        error: Box<Error>,
    },
}

/// The result of an operation on an input.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns the error of a file of this format; see [`Error::Format`].
    pub(crate) fn format(
        format: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Error::Format { format, expected: expected.to_string(), found: found.to_string() }
    }

    /// Returns the error with the file's name at its end. An error that already names a file is returned
    /// unchanged.
    pub fn in_file(self, file: impl Into<String>) -> Self {
        match self {
            Error::InFile { .. } => self,
            error => Error::InFile { file: file.into(), error: Box::new(error) },
        }
    }
}

/// Defines constructors of the "expected …, found …" variants, so that a call fits on a line.
macro_rules! expected_found {
    ($($name:ident => $variant:ident),* $(,)?) => {
        impl Error {
            $(pub(crate) fn $name(expected: impl ToString, found: impl ToString) -> Self {
                Error::$variant { expected: expected.to_string(), found: found.to_string() }
            })*
        }
    };
}
expected_found! {
    nifti => Nifti, scan => Scan, geometry => Geometry, labels => Labels,
    task => Task, network => Network, bundle => Bundle, text => Text,
    segmentation => Segmentation,
}
