//! Last step of viewing: a result as the fragment of a link, and back.
//!
//! A browser never sends a fragment to a server, and nothing here names a file or a person: the
//! link holds the label map, its grid, the regions with their volumes, and the model's name and
//! hash. A fragment is a readable prefix with the version, then base64url of
//! `checksum (8) | length of the card (4) | card: deflated JSON | coded labels`.

mod map_coder;
mod saved;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model_core::LabelMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::slice::Convention;

/// The version that this code writes, and the highest that it reads.
pub const SHARE_VERSION: u32 = 1;

/// What every fragment begins with; the version follows, then a dot.
pub const PREFIX: &str = "research-use-only.rewind-v";

/// The longest fragment that is read; browsers refuse longer addresses.
pub const MAX_FRAGMENT_CHARS: usize = 2 << 20;

/// The most voxels of a shared grid: 512³.
pub const MAX_VOXELS: usize = 1 << 27;

/// The longest axis of a shared grid: NIfTI-1's longest, in which the label map is saved.
pub const MAX_AXIS: usize = 32_767;

/// The most voxels of the box that holds every labelled voxel.
pub const MAX_BOX_VOXELS: usize = 1 << 25;

/// The most voxels of the copy that the box is decoded in, with a margin on all sides: only boxes of
/// a few slices with more than 3,600 voxels along an axis are refused by it.
pub const MAX_PADDED_VOXELS: usize = 1 << 26;

const CHECKSUM_BYTES: usize = 8;

/// A result, as a link carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// How it was displayed.
    pub convention: Convention,
    /// The label map, on the grid of the scan.
    pub labels: LabelMap,
    /// The regions with their volumes, in the task's order.
    pub regions: Vec<SharedRegion>,
    /// The model that made it.
    pub model: SharedModel,
}

/// A region, as the table shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedRegion {
    /// The region's name.
    pub name: String,
    /// Its color, sRGB.
    pub color: [u8; 3],
    /// The label codes that it unites.
    pub codes: Vec<u8>,
    /// Its volume; that of its voxels in the label map, within rounding.
    pub volume_ml: f64,
}

/// The model that made a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedModel {
    /// Its name.
    pub name: String,
    /// What must be read before trusting it; empty when there is nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub warning: String,
    /// SHA-256 of its tensors, in hexadecimal.
    pub hash: String,
    /// In which windows it saw the scan; empty when it saw the whole at once. What does not know of
    /// this refuses the link, since it would not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub windows: String,
}

/// Why a result is not put into a link, or a link not read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The fragment is something else.
    #[error("this is no link to a result: expected an address ending in #{PREFIX}1.…")]
    NotALink,
    /// A newer Rewind wrote it.
    #[error(
        "this link was made by another version of Rewind: expected version {SHARE_VERSION}, \
         found {found}"
    )]
    Version {
        /// The version in the link, as it stands there.
        found: String,
    },
    /// Characters are missing or changed.
    #[error("this link is incomplete or damaged; copy it again, whole")]
    Damaged,
    /// A size, known before allocation, exceeds what is accepted.
    #[error("{what} is too large for a link: expected at most {limit}, found {found}")]
    TooLarge {
        /// What has the size, with its unit.
        what: &'static str,
        /// The most that is accepted.
        limit: u64,
        /// The size found.
        found: u64,
    },
    /// The link is whole, but what it says cannot be.
    #[error("this link contradicts itself: expected {expected}, found {found}")]
    Content {
        /// What a valid link has there.
        expected: String,
        /// What this link has.
        found: String,
    },
}

impl ShareError {
    fn content(expected: impl ToString, found: impl ToString) -> Self {
        ShareError::Content { expected: expected.to_string(), found: found.to_string() }
    }
}

/// Whether a fragment (with or without `#`) is meant as a result, of whatever version.
pub fn is_shared(fragment: &str) -> bool {
    fragment.trim_start_matches('#').starts_with(PREFIX)
}

/// The fragment for a result, without `#`.
///
/// # Errors
/// [`ShareError::TooLarge`] or [`ShareError::Content`], for what [`decode`] would refuse.
pub fn encode(shared: &Shared) -> Result<String, ShareError> {
    let fragment = seal(&wire::write(shared)?);
    check_length(&fragment)?;
    Ok(fragment)
}

/// The result in a fragment, with or without `#`.
///
/// # Errors
/// [`ShareError`]; hostile fragments never cost more memory than the limits of this module.
pub fn decode(fragment: &str) -> Result<Shared, ShareError> {
    wire::read(&open(fragment)?)
}

/// A body, with checksum, version and prefix.
pub fn seal(body: &[u8]) -> String {
    let sealed = [&checksum(body)[..], body].concat();
    format!("{PREFIX}{SHARE_VERSION}.{}", URL_SAFE_NO_PAD.encode(sealed))
}

/// The body of a fragment, whole and of a version that this code reads.
///
/// # Errors
/// Every [`ShareError`] but [`ShareError::Content`].
pub fn open(fragment: &str) -> Result<Vec<u8>, ShareError> {
    check_length(fragment)?;
    let rest = fragment.trim_start_matches('#').strip_prefix(PREFIX);
    let (version, data) = rest.and_then(|r| r.split_once('.')).ok_or(ShareError::NotALink)?;
    if version != SHARE_VERSION.to_string() {
        let found = version.chars().take(12).collect();
        return Err(ShareError::Version { found });
    }
    let sealed = URL_SAFE_NO_PAD.decode(data).map_err(|_| ShareError::Damaged)?;
    let (sum, body) = sealed.split_at_checked(CHECKSUM_BYTES).ok_or(ShareError::Damaged)?;
    if sum != checksum(body) {
        return Err(ShareError::Damaged);
    }
    Ok(body.to_vec())
}

fn check_length(fragment: &str) -> Result<(), ShareError> {
    let (limit, found) = (MAX_FRAGMENT_CHARS as u64, fragment.len() as u64);
    if found <= limit {
        return Ok(());
    }
    Err(ShareError::TooLarge { what: "the link in characters", limit, found })
}

/// Guards against damage, not against intent: whoever changes a link on purpose can sign it anew.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::digest(body);
    std::array::from_fn(|n| digest[n])
}
