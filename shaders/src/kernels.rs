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

mod blocks;
mod kernel;
mod slab;
mod voxels;
mod workgroups;

pub use blocks::BLOCK;
pub use kernel::{Constants, Dispatch, Hardware, Kernel, Storage};
pub use slab::{InputSlab, OutputPlanes, quads};
pub use workgroups::{MAX_WORKGROUPS, split_by_cost, spread};

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
