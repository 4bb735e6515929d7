//! Last step of viewing: encodes a result as the fragment of a link, and decodes it.
//!
//! A browser never sends the fragment of an address to a server. A fragment holds no file name and no
//! person: only the label map, its grid, the regions with their volumes, and the model's name and hash.
//! Its format is a readable prefix with the version, then base64url of
//! `checksum (8) | length of the header (4) | header: deflated JSON | coded labels`.

mod error;
mod format;
mod fragment;
mod map_coder;
mod result;
mod saved_position;
mod wire;

use model_core::LabelMap;

pub use error::ShareError;
pub use format::{
    MAX_AXIS, MAX_BOX_VOXELS, MAX_FRAGMENT_CHARS, MAX_PADDED_VOXELS, MAX_VOXELS, PREFIX,
    SHARE_VERSION,
};
pub use fragment::{body_from_fragment, fragment_from_body, is_share_fragment};
pub use result::{SharedModel, SharedRegion, SharedResult};

/// Encodes a result as a fragment, without `#`.
///
/// # Errors
/// [`ShareError::TooLarge`] or [`ShareError::Content`] if [`decode`] would refuse the fragment.
pub fn encode(shared: &SharedResult) -> Result<String, ShareError> {
    let fragment = fragment_from_body(&wire::write(shared)?);
    fragment::check_length(&fragment)?;
    Ok(fragment)
}

/// Returns everything about a result except its labels as a text, for the comment of the label map's file.
///
/// # Errors
/// As [`encode`].
pub fn file_comment(shared: &SharedResult) -> Result<String, ShareError> {
    Ok(format!("{PREFIX}{SHARE_VERSION} {}", wire::describe(shared)?))
}

/// Returns the result that a label map's file holds together with its comment; `None` if the comment is not
/// one of [`file_comment`].
///
/// # Errors
/// [`ShareError::Version`], [`ShareError::TooLarge`], or [`ShareError::Content`] if the labels are not those
/// that the comment describes.
pub fn read_file(comment: &str, labels: LabelMap) -> Option<Result<SharedResult, ShareError>> {
    let (version, json) = comment.strip_prefix(PREFIX)?.split_once(' ')?;
    Some(match version == SHARE_VERSION.to_string() {
        true => wire::with_labels(json, labels),
        false => Err(ShareError::Version { found: version.chars().take(12).collect() }),
    })
}

/// Decodes the result in a fragment, with or without `#`.
///
/// A hostile fragment never costs more memory than the limits of this module.
///
/// # Errors
/// Any [`ShareError`].
pub fn decode(fragment: &str) -> Result<SharedResult, ShareError> {
    wire::read(&body_from_fragment(fragment)?)
}
