//! The version and the limits of the share link's format.

/// The version that this code writes, and the only one that it reads.
pub const SHARE_VERSION: u32 = 1;

/// The beginning of every fragment. The version follows, then a dot.
pub const PREFIX: &str = "research-use-only.rewind-v";

/// The longest fragment that is read. Browsers refuse longer addresses.
pub const MAX_FRAGMENT_CHARS: usize = 2 << 20;

/// The most voxels of a shared grid: 512³.
pub const MAX_VOXELS: usize = 1 << 27;

/// The longest axis of a shared grid: the longest that NIfTI-1, the format of a saved label map, has.
pub const MAX_AXIS: usize = 32_767;

/// The most voxels of the bounding box of all labeled voxels.
pub const MAX_BOX_VOXELS: usize = 1 << 25;

/// The most voxels of the padded copy in which the bounding box is decoded. The limit refuses only
/// boxes of a few slices with more than 3,600 voxels along an axis.
pub const MAX_PADDED_VOXELS: usize = 1 << 26;
