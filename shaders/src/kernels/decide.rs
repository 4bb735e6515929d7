//! The label code of every voxel.

use bytemuck::{Pod, Zeroable};

use super::kernel::{Dispatch, Kernel};
use super::workgroups::spread;

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "decide",
    body: include_str!("decide.wgsl"),
    entries: &["main"],
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
    pub affine: u32,
    pub in_channels: u32,
    pub is_exclusive: u32,
}

/// The dispatch.
pub fn dispatch(params: Params) -> Dispatch<Params> {
    Dispatch { params, constants: &[], workgroups: spread(params.stride as usize, 1) }
}

/// Returns label codes. With `exclusive` the code of the first largest logit, else that of the last
/// positive logit, else 0.
///
/// # Shapes
/// `from` `[codes][voxels]`, `to` `[voxels]`.
pub fn reference(from: &[f32], to: &mut [u8], codes: &[u8], exclusive: bool) {
    let voxels = to.len();
    for (at, to) in to.iter_mut().enumerate() {
        let logit = |c: usize| from[c * voxels + at];
        let largest =
            || (1..codes.len()).fold(0, |best, c| if logit(c) > logit(best) { c } else { best });
        let chosen = match exclusive {
            true => Some(largest()),
            false => (0..codes.len()).rev().find(|&c| logit(c) > 0.0),
        };
        *to = chosen.map_or(0, |c| codes[c]);
    }
}
