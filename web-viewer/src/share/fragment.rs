//! The text of a fragment: prefix, version, and the body with its checksum in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::error::ShareError;
use super::format::{MAX_FRAGMENT_CHARS, PREFIX, SHARE_VERSION};

const CHECKSUM_BYTES: usize = 8;

/// Returns whether a fragment, with or without `#`, is a share link of any version.
pub fn is_share_fragment(fragment: &str) -> bool {
    fragment.trim_start_matches('#').starts_with(PREFIX)
}

/// Encodes a body with its checksum, version and prefix.
pub fn fragment_from_body(body: &[u8]) -> String {
    let checked_body = [&checksum(body)[..], body].concat();
    format!("{PREFIX}{SHARE_VERSION}.{}", URL_SAFE_NO_PAD.encode(checked_body))
}

/// Decodes the body of a fragment after checking its version and checksum.
///
/// # Errors
/// Every [`ShareError`] except [`ShareError::Content`].
pub fn body_from_fragment(fragment: &str) -> Result<Vec<u8>, ShareError> {
    check_length(fragment)?;
    let rest = fragment.trim_start_matches('#').strip_prefix(PREFIX);
    let (version, data) = rest.and_then(|r| r.split_once('.')).ok_or(ShareError::NotALink)?;
    if version != SHARE_VERSION.to_string() {
        let found = version.chars().take(12).collect();
        return Err(ShareError::Version { found });
    }
    let checked_body = URL_SAFE_NO_PAD.decode(data).map_err(|_| ShareError::Damaged)?;
    let (sum, body) = checked_body.split_at_checked(CHECKSUM_BYTES).ok_or(ShareError::Damaged)?;
    if sum != checksum(body) {
        return Err(ShareError::Damaged);
    }
    Ok(body.to_vec())
}

pub(super) fn check_length(fragment: &str) -> Result<(), ShareError> {
    let (limit, found) = (MAX_FRAGMENT_CHARS as u64, fragment.len() as u64);
    if found <= limit {
        return Ok(());
    }
    Err(ShareError::TooLarge { what: "the link in characters", limit, found })
}

/// Detects damage, not intent: anyone who changes a link on purpose can compute a new checksum.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::digest(body);
    std::array::from_fn(|n| digest[n])
}
