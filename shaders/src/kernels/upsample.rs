//! Trilinear ×2 (PyTorch's `interpolate` with `align_corners=False`).

use bytemuck::{Pod, Zeroable};

use super::kernel::{self, Dispatch, Kernel};
use super::slab::{InputSlab, OutputPlanes};
use super::voxels::for_each_voxel;
use super::workgroups::spread;

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "upsample",
    body: include_str!("upsample.wgsl"),
    entries: &["main"],
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
    pub output_affine: u32,
    pub adds_to_output: u32,
    pub padding: [u32; 2],
}

/// The dispatch for `num_channels`.
pub fn dispatch(params: Params, num_channels: usize) -> Dispatch<Params> {
    let OutputPlanes { dims: [_, nj, _], start_plane, end_plane, .. } = params.output;
    let num_quads = (params.input.row_quads * nj * (end_plane - start_plane)) as usize;
    Dispatch {
        params,
        constants: params.input.constants(),
        workgroups: spread(num_quads, num_channels),
    }
}

/// Interpolates at `(place + 0.5) / 2 − 0.5` of the input, clamped to the border, between the two
/// nearest voxels on each axis.
///
/// # Shapes
/// `from` `[c][k][j][i]` of `dims`, `to` `[c][2k][2j][2i]`.
pub fn reference(from: &[f32], to: &mut [f32], dims: [usize; 3]) {
    let voxels: usize = dims.iter().product();
    for (from, to) in from.chunks_exact(voxels).zip(to.chunks_exact_mut(8 * voxels)) {
        for_each_voxel(dims.map(|d| 2 * d), |at, place| {
            let axis = |a: usize| {
                let x = ((place[a] as f32 + 0.5) / 2.0 - 0.5).max(0.0);
                let low = x as usize;
                [(low, 1.0 - x.fract()), ((low + 1).min(dims[a] - 1), x.fract())]
            };
            to[at] = 0.0;
            for (k, wk) in axis(2) {
                for (j, wj) in axis(1) {
                    for (i, wi) in axis(0) {
                        to[at] += wk * wj * wi * from[(k * dims[1] + j) * dims[0] + i];
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.functional.interpolate(torch.tensor([[[0., 4., 8.]]]), scale_factor=2,
    /// mode="linear", align_corners=False)`
    #[test]
    fn a_line_is_interpolated_as_pytorch_does() {
        let mut to = [f32::NAN; 24];
        reference(&[0.0, 4.0, 8.0], &mut to, [3, 1, 1]);
        assert_eq!(to[..6], [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]);
        assert_eq!(to[..6], to[18..]);
    }
}
