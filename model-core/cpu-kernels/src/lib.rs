//! The kernels of Rewind's networks on the processor: functions on slices, for inference natively and
//! in WebAssembly, and for training through burn.
//!
//! A kernel writes the planes of a [`slab::Slab`] and reads its input normalized
//! ([`channels::Channels`]). Where a norm follows, it returns the statistics of its output, which it
//! computes while the values are in the cache.
//!
//! This is a crate of its own because the page's WebAssembly is optimized for size, except for it.

pub mod buffer;
pub mod channels;
pub mod conv3;
pub mod covariance;
pub mod depthwise;
pub mod depthwise_weight;
pub mod elementwise;
pub mod expand_depthwise;
pub mod max_pool;
pub mod moments;
pub mod parallel;
pub mod pointwise;
pub mod products;
pub mod slab;
pub mod space_to_depth;
pub mod upsample;
mod vector;
