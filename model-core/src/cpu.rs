//! Inference on the CPU, natively and in the browser: kernels on slices, and the engine that runs a
//! [`Program`](crate::Program) with them. burn's CPU backend calls the same kernels in training
//! ([`crate::kernels`]).
//!
//! A kernel writes the planes of a [`slab::Slab`] and reads its input normalized
//! ([`channels::Channels`]). Where a norm follows, it returns the statistics of its output, which it
//! computes while the values are in the cache.

pub mod channels;
pub mod conv3;
pub mod covariance;
pub mod depthwise;
pub mod elementwise;
pub mod expand_depthwise;
pub mod max_pool;
pub mod moments;
mod parallel;
mod peers;
mod plan;
pub mod pointwise;
mod run;
pub mod slab;
pub mod space_to_depth;
pub mod upsample;
pub(crate) mod vector;

pub use peers::Peers;
pub use plan::{CpuMemory, CpuPlan, Part};
pub use run::{CpuError, CpuOutput};
