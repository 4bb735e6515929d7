//! What can be wrong with an input from outside, in words for the person who gave it.

/// Everything in this crate that can fail, fails because of its input.
///
/// A message says what was expected and what was found, and ends with the file when it is known
/// (see [`Error::in_file`]).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no scan that can be read.
    #[error("cannot read this as a NIfTI scan: expected {expected}, found {found}")]
    Nifti {
        /// What a valid file has there.
        expected: String,
        /// What this file has.
        found: String,
    },
    /// A scan that can be read, but not used.
    #[error("the scan cannot be used: expected {expected}, found {found}")]
    Scan {
        /// What was needed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Affines, dimensions or spacings that do not fit.
    #[error("the geometry does not fit: expected {expected}, found {found}")]
    Geometry {
        /// What was needed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A label file holds codes that the task's scheme does not name.
    #[error("the labels do not fit the task: expected {expected}, found {found}")]
    Labels {
        /// The scheme's codes.
        expected: String,
        /// The codes that are not among them.
        found: String,
    },
    /// A task or a data set's description that cannot be used.
    #[error("the task cannot be used: expected {expected}, found {found}")]
    Task {
        /// What was needed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A network configuration that cannot be built, or does not fit its weights or its input.
    #[error("the network cannot be used: expected {expected}, found {found}")]
    Network {
        /// What was needed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The bytes are no bundle that can be read.
    #[error("cannot read this as a model bundle: expected {expected}, found {found}")]
    Bundle {
        /// What a valid bundle has.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// Bytes that should be text and are not.
    #[error("cannot read this as text: expected {expected}, found {found}")]
    Text {
        /// What was needed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A size, known before allocation, exceeds what is accepted.
    #[error("{what} is too large: expected at most {limit_bytes} bytes, found {found_bytes}")]
    TooLarge {
        /// What has the size.
        what: &'static str,
        /// The most that is accepted.
        limit_bytes: u64,
        /// The size found.
        found_bytes: u64,
    },
    /// An error of a case whose files may each be fine.
    #[error("{error} (case {case})")]
    InCase {
        /// The case's name.
        case: String,
        /// What is wrong with it; not a source, which a chain of errors would print again.
        error: Box<Error>,
    },
    /// An error, with the file it came from.
    #[error("{error} (in {file})")]
    InFile {
        /// The file's name as the user gave it.
        file: String,
        /// What is wrong with it; not a source, which a chain of errors would print again.
        error: Box<Error>,
    },
}

/// The result of reading something from outside.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The same error, ending with the file's name; an error that names a file already keeps it.
    pub fn in_file(self, file: impl Into<String>) -> Self {
        match self {
            Error::InFile { .. } => self,
            error => Error::InFile { file: file.into(), error: Box::new(error) },
        }
    }
}

/// Constructors of the "expected …, found …" variants, so that a call fits on a line.
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
}
