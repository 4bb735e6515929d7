//! In-place addition, and normalization alone.

use bytemuck::{Pod, Zeroable};

use super::kernel::{Dispatch, Kernel};
use super::workgroups::spread;

/// Entries: add in place, normalize into another map, normalize in place.
pub const KERNEL: Kernel = Kernel {
    name: "add",
    body: include_str!("add.wgsl"),
    entries: &["add", "normalize_into", "normalize_in_place"],
    params_bytes: size_of::<Params>(),
    includes: &[],
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub stride: u32,
    pub input_offset: u32,
    pub output_offset: u32,
    pub affine: u32,
    pub output_affine: u32,
}

/// Returns the dispatch of an entry for `num_channels`.
pub fn dispatch(params: Params, num_channels: usize) -> Dispatch<Params> {
    Dispatch { params, constants: &[], workgroups: spread(params.stride as usize, num_channels) }
}

/// `to += from`.
pub fn reference(from: &[f32], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
