//! The compute kernels. Each is a WGSL file with a Rust file of the same name: `Params` (the WGSL
//! struct, byte for byte), its dispatches, and `reference`, the same arithmetic in plain Rust.
//!
//! A reference takes channels `[channel][k][j][i]` without padding. On the GPU a feature map lies
//! in slabs of planes, each `[channel][k][j][quad]` in a buffer of its own. A quad is four voxels
//! along i, in f32 or f16. Rows are padded to whole quads, and the padding is never read as voxels.
//! A kernel normalizes its input while loading, by an affine map per channel.
//!
//! `params` is a storage buffer, not a uniform: lavapipe recompiles a kernel for every dispatch
//! whose uniforms decide a branch, which takes 2 ms each.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

pub mod add;
pub mod conv3;
pub mod covariance;
pub mod decide;
pub mod depthwise_conv;
pub mod expand_depthwise;
pub mod expansion;
pub mod group_norm;
pub mod max_pool;
pub mod moments;
pub mod pointwise_conv;
pub mod space_to_depth;
pub mod upsample;

/// A WGSL source and its entry points.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The file's name.
    pub name: &'static str,
    /// The WGSL source without the common sources that [`Kernel::source`] prepends.
    pub body: &'static str,
    /// Its compute entry points.
    pub entries: &'static [&'static str],
    /// Bytes of its `Params`.
    pub params_bytes: usize,
    /// Common sources that it needs beside those of all kernels.
    pub includes: &'static [&'static str],
}

/// Storage type of feature maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Storage {
    /// 32 bits.
    F32,
    /// 16 bits, summed in 32 bits.
    F16,
}

impl Storage {
    /// Bytes of four voxels.
    pub fn quad_bytes(self) -> u64 {
        match self {
            Storage::F32 => 16,
            Storage::F16 => 8,
        }
    }
}

/// Optional GPU features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hardware {
    /// Native f16.
    pub has_f16: bool,
    /// Subgroup operations. (In browsers wgpu does not request them.)
    pub has_subgroups: bool,
}

impl Kernel {
    /// Returns the complete source for a storage type.
    pub fn source(&self, storage: Storage, hardware: Hardware) -> String {
        let storage = match (storage, hardware.has_f16) {
            (Storage::F32, _) => include_str!("kernels/common/f32.wgsl"),
            (Storage::F16, true) => include_str!("kernels/common/f16.wgsl"),
            (Storage::F16, false) => include_str!("kernels/common/f16_packed.wgsl"),
        };
        let reduce = match hardware.has_subgroups {
            true => include_str!("kernels/common/reduce_subgroups.wgsl"),
            false => include_str!("kernels/common/reduce_workgroup.wgsl"),
        };
        let mut sources = vec![storage, include_str!("kernels/common/norm.wgsl")];
        sources.extend(self.includes);
        if self.includes.contains(&MOMENTS) {
            sources.push(reduce);
        }
        sources.push(self.body);
        sources.join("\n")
    }
}

/// All kernels.
pub const KERNELS: [&Kernel; 12] = [
    &add::KERNEL,
    &conv3::KERNEL,
    &covariance::KERNEL,
    &decide::KERNEL,
    &depthwise_conv::KERNEL,
    &expand_depthwise::KERNEL,
    &expansion::KERNEL,
    &max_pool::KERNEL,
    &moments::KERNEL,
    &pointwise_conv::KERNEL,
    &space_to_depth::KERNEL,
    &upsample::KERNEL,
];

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

/// Values of a kernel's `override` constants. A kernel is compiled for each set.
pub type Constants = &'static [(&'static str, u32)];

/// One dispatch of an entry point.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch<P> {
    /// The kernel's `params`.
    pub params: P,
    /// Constants that the kernel is compiled with.
    pub constants: Constants,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
}

/// Output channels per block.
pub const BLOCK: usize = 8;

/// Common source: a slab with its neighbors.
const INPUT_SLAB: &str = include_str!("kernels/common/input_slab.wgsl");

/// Common source: outputs of resampling operations.
const OUTPUT_PLANES: &str = include_str!("kernels/common/output_planes.wgsl");

/// Common source: moments.
const MOMENTS: &str = include_str!("kernels/common/moments.wgsl");

/// Common source: reduction of the moments of eight channels over a workgroup.
const REDUCE_EIGHT: &str = include_str!("kernels/common/reduce_eight.wgsl");

/// Common source: moments of eight channels in one invocation.
const SHIFTED_SUMS: &str = include_str!("kernels/common/shifted_sums.wgsl");

/// Common source: sums of three output planes.
const PLANE_SUMS: &str = include_str!("kernels/common/plane_sums.wgsl");

/// Common source: statistics of two blocks of channels.
const BLOCK_PAIR: &str = include_str!("kernels/common/block_pair.wgsl");

/// Common source: eight output channels.
const EIGHT_CHANNELS: &str = include_str!("kernels/common/eight_channels.wgsl");

/// Invocations per workgroup.
const WORKGROUP_SIZE: usize = 64;

/// Largest number of workgroups along an axis (WebGPU's default limit).
pub const MAX_WORKGROUPS: u32 = 65_535;

/// Returns the quads of a row of `ni` voxels.
pub fn quads(ni: usize) -> usize {
    ni.div_ceil(4)
}

/// Returns the workgroups for `num_invocations` of each of `rows`. Beyond the limit of an axis x
/// continues in z; kernels undo this by `(group.z * groups.x + group.x)`.
pub fn spread(num_invocations: usize, rows: usize) -> [u32; 3] {
    let groups = num_invocations.div_ceil(WORKGROUP_SIZE).max(1) as u32;
    let z = groups.div_ceil(MAX_WORKGROUPS);
    [groups.div_ceil(z), rows as u32, z]
}

/// Splits `0..rows` into ranges that cost at most `max_cost`, if a row costs `row_cost`; at least
/// one row each.
pub fn split_by_cost(
    rows: usize,
    row_cost: u64,
    max_cost: u64,
) -> impl Iterator<Item = Range<usize>> {
    let step = (max_cost / row_cost.max(1)).clamp(1, rows.max(1) as u64) as usize;
    (0..rows).step_by(step).map(move |start| start..(start + step).min(rows))
}

/// Packs weights `[output][input][taps]` as the convolution kernels read them,
/// `[block][input][tap][BLOCK]`, with zeros beyond the last output.
fn pack_blocks(weight: &[f32], out_channels: usize, in_channels: usize, taps: usize) -> Vec<f32> {
    let mut packed = vec![0.0; out_channels.div_ceil(BLOCK) * in_channels * taps * BLOCK];
    for to in 0..out_channels {
        for at in 0..in_channels * taps {
            let place = (to / BLOCK * in_channels * taps + at) * BLOCK + to % BLOCK;
            packed[place] = weight[to * in_channels * taps + at];
        }
    }
    packed
}

/// Calls `voxel(index, [i, j, k])` for every voxel.
fn for_each_voxel(dims: [usize; 3], mut voxel: impl FnMut(usize, [usize; 3])) {
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            for i in 0..dims[0] {
                voxel((k * dims[1] + j) * dims[0] + i, [i, j, k]);
            }
        }
    }
}

/// Returns the 3³ correlation at one voxel of one channel with zero padding; `taps` is `[k][j][i]`.
fn correlate(from: &[f32], dims: [usize; 3], [i, j, k]: [usize; 3], taps: &[f32]) -> f32 {
    let mut sum = 0.0;
    for (tap, weight) in taps.iter().enumerate() {
        // Indices are shifted by one, so that none is negative.
        let [ii, jj, kk] = [i + tap % 3, j + tap / 3 % 3, k + tap / 9];
        let inside = |place: usize, size: usize| (1..=size).contains(&place);
        if inside(ii, dims[0]) && inside(jj, dims[1]) && inside(kk, dims[2]) {
            sum += weight * from[((kk - 1) * dims[1] + jj - 1) * dims[0] + ii - 1];
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workgroups_stay_within_the_limit_of_an_axis() {
        for num in [1, 63, 64, 65, 64 * 65_535, 64 * 65_535 + 1, 33_554_432] {
            let [x, _, z] = spread(num, 1);
            assert!(
                x <= MAX_WORKGROUPS && (x * z) as usize * WORKGROUP_SIZE >= num,
                "{num}: {x} {z}"
            );
        }
    }

    #[test]
    fn ranges_cover_every_row_once() {
        let rows: Vec<usize> = split_by_cost(7, 10, 25).flatten().collect();
        assert_eq!(rows, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(split_by_cost(3, 100, 25).count(), 3);
    }
}
