//! The label map beside the result.

use std::sync::Arc;

use crate::compare::OtherMap;

/// The other label map, and what of it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The map.
    pub map: Arc<OtherMap>,
    /// The index of the region whose outline is drawn.
    pub region: usize,
    /// Whether voxels that are in one map alone are marked.
    pub marks: bool,
}
