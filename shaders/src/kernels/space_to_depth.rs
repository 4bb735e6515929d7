//! Space to depth and its inverse: 2³ voxels of a channel become one voxel of eight channels.

use bytemuck::{Pod, Zeroable};

use super::kernel::{self, Dispatch, Kernel};
use super::slab::{InputSlab, OutputPlanes};
use super::voxels::for_each_voxel;
use super::workgroups::spread;

/// The kernel, in both directions.
pub const KERNEL: Kernel = Kernel {
    name: "space_to_depth",
    body: include_str!("space_to_depth.wgsl"),
    entries: &["space_to_depth", "depth_to_space"],
    params_bytes: size_of::<Params>(),
    includes: &[kernel::INPUT_SLAB, kernel::OUTPUT_PLANES],
};

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub input: InputSlab,
    pub output: OutputPlanes,
}

/// Returns the dispatch of an entry. `num_channels` counts those of the larger volume.
pub fn dispatch(params: Params, num_channels: usize, is_inverse: bool) -> Dispatch<Params> {
    let OutputPlanes { dims: [_, nj, _], row_quads, start_plane, end_plane, .. } = params.output;
    let quads = if is_inverse { params.input.row_quads } else { row_quads };
    let num_quads = (quads * nj * (end_plane - start_plane)) as usize;
    Dispatch {
        params,
        constants: params.input.constants(),
        workgroups: spread(num_quads, num_channels),
    }
}

/// Channel `8c + 4dk + 2dj + di` of `to` holds the voxels (2k+dk, 2j+dj, 2i+di) of channel c.
///
/// # Shapes
/// `from` `[c][2k][2j][2i]`, `to` `[8c][k][j][i]` of `dims`.
pub fn reference(from: &[f32], to: &mut [f32], dims: [usize; 3]) {
    for_each_pair(dims, from.len(), |wide, narrow| to[narrow] = from[wide]);
}

/// The inverse of [`reference()`].
///
/// # Shapes
/// `from` `[8c][k][j][i]` of `dims`, `to` `[c][2k][2j][2i]`.
pub fn inverse_reference(from: &[f32], to: &mut [f32], dims: [usize; 3]) {
    for_each_pair(dims, to.len(), |wide, narrow| to[wide] = from[narrow]);
}

/// Calls `pair(index in [c][2k][2j][2i], index in [8c][k][j][i])` for all values.
fn for_each_pair(dims: [usize; 3], num_values: usize, mut pair: impl FnMut(usize, usize)) {
    let voxels: usize = dims.iter().product();
    for c in 0..num_values / (8 * voxels) {
        for_each_voxel(dims.map(|d| 2 * d), |wide, [i, j, k]| {
            let channel = 8 * c + 4 * (k % 2) + 2 * (j % 2) + i % 2;
            let narrow = (k / 2 * dims[1] + j / 2) * dims[0] + i / 2;
            pair(8 * c * voxels + wide, channel * voxels + narrow);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two channels of 2 × 2 × 4 voxels (k, j, i), numbered in storage order.
    #[test]
    fn a_cube_becomes_a_voxel_of_eight_channels_and_back() {
        let from: Vec<f32> = (0..32u8).map(f32::from).collect();
        let mut to = [f32::NAN; 32];
        reference(&from, &mut to, [2, 1, 1]);
        let first = [0., 2., 1., 3., 4., 6., 5., 7., 8., 10., 9., 11., 12., 14., 13., 15.];
        assert_eq!(to[..16], first);
        assert_eq!(to[16..], first.map(|x| x + 16.0));
        let mut back = [f32::NAN; 32];
        inverse_reference(&to, &mut back, [2, 1, 1]);
        assert_eq!(back[..], from);
    }
}
