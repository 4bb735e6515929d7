//! Errors of encoding and decoding a share link.

use super::format::{PREFIX, SHARE_VERSION};

/// An error of encoding or decoding a share link.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The fragment is not a share link.
    #[error("this is no link to a result: expected an address ending in #{PREFIX}1.…")]
    NotALink,
    /// Another version of Rewind wrote the link.
    #[error(
        "this link was made by another version of Rewind: expected version {SHARE_VERSION}, \
         found {found}"
    )]
    Version {
        /// The version in the link, as text.
        found: String,
    },
    /// Characters are missing or changed.
    #[error("this link is incomplete or damaged; copy it again, whole")]
    Damaged,
    /// A size, known before allocation, exceeds its limit.
    #[error("{what} is too large for a link: expected at most {limit}, found {found}")]
    TooLarge {
        /// The quantity, with its unit.
        what: &'static str,
        /// The largest value that is accepted.
        limit: u64,
        /// The value found.
        found: u64,
    },
    /// The link is complete, but its contents are invalid.
    #[error("this link contradicts itself: expected {expected}, found {found}")]
    Content {
        /// A valid link's content.
        expected: String,
        /// This link's content.
        found: String,
    },
}

impl ShareError {
    pub(super) fn content(expected: impl ToString, found: impl ToString) -> Self {
        ShareError::Content { expected: expected.to_string(), found: found.to_string() }
    }
}
