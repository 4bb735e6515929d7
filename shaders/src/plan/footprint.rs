//! The memory of a plan.

use crate::weights::ALIGNMENT;

/// Bytes between the `params` of two steps in their common buffer.
pub const PARAMS_SLOT: usize = ALIGNMENT as usize;

/// Memory that a run allocates on the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Feature maps.
    pub map_bytes: u64,
    /// Sums and affine maps of norms, and the kernels' `params`.
    pub scratch_bytes: u64,
    /// Packed parameters.
    pub weight_bytes: u64,
    /// One slab of the input and one of the result, for transfers.
    pub staging_bytes: u64,
    /// Sum of all.
    pub total_bytes: u64,
}
