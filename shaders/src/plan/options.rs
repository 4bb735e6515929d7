//! Options of plans.

use model_core::network::stages::BlockOptions;

use crate::kernels::Storage;

/// Options of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// Storage type of feature maps.
    pub storage: Storage,
    /// Number of ranges that the expanded channels of a block are divided into, at most one per
    /// group. The ranges are processed one after the other.
    pub channel_splits: usize,
    /// Largest width of fused blocks, whose expanded channels are never stored. If not 0, 1³
    /// convolutions also compute the statistics of their output. Saves bytes and costs work.
    pub max_fused_channels: usize,
    /// Upper bound of a slab; a slab has at least one plane.
    pub slab_bytes: u64,
}

impl PlanOptions {
    /// Returns the options of the lowering.
    pub(crate) fn blocks(self) -> BlockOptions {
        let PlanOptions { channel_splits, max_fused_channels, .. } = self;
        BlockOptions { channel_splits, max_fused_channels, min_fused_values: 0 }
    }
}

/// Preferences beside the budget; see [`PlanOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preference {
    /// Storage type of feature maps; by default f32 if the budget allows it.
    pub storage: Option<Storage>,
    /// Largest width of fused blocks, which are faster on some GPUs; 0 if unknown
    /// ([`Engine::preference`](crate::Engine::preference)).
    pub max_fused_channels: usize,
}
