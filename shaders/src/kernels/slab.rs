//! The slabs that kernels read and write, as their `params` describe them.

use bytemuck::{Pod, Zeroable};

use super::kernel::Constants;

/// A slab of a feature map and its neighbors; see `common/input_slab.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct InputSlab {
    pub dims: [u32; 3],
    pub row_quads: u32,
    pub first_plane: u32,
    pub planes: u32,
    pub planes_before: u32,
    pub planes_after: u32,
    pub first_channel: u32,
    pub affine: u32,
    pub padding: [u32; 2],
}

impl InputSlab {
    /// Returns whether the feature map has only this slab.
    pub fn is_only_slab(&self) -> bool {
        self.planes_before + self.planes_after == 0
    }

    /// Returns the constants of a kernel that reads the slab.
    pub fn constants(&self) -> Constants {
        if self.is_only_slab() { &[("IS_ONLY_SLAB", 1)] } else { &[("IS_ONLY_SLAB", 0)] }
    }
}

/// The planes of a slab that a resampling operation writes; see `common/output_planes.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct OutputPlanes {
    pub dims: [u32; 3],
    pub row_quads: u32,
    pub first_channel: u32,
    pub first_plane: u32,
    pub start_plane: u32,
    pub end_plane: u32,
}

impl OutputPlanes {
    /// Returns the quads that a dispatch writes.
    pub fn num_quads(&self) -> usize {
        let planes = (self.end_plane - self.start_plane) as usize;
        planes * self.dims[1] as usize * self.row_quads as usize
    }
}

/// Returns the quads of a row of `ni` voxels.
pub fn quads(ni: usize) -> usize {
    ni.div_ceil(4)
}
