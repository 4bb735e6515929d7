//! The operations that training spends its time in, as our own ops inside burn, with gradients.
//!
//! On the CPU each is a kernel of ours (rayon over channels and planes, inner loops that the
//! compiler vectorises); on other devices it is composed of burn's own operations. Reductions have
//! a fixed order, so that a run can be repeated bit for bit.

mod autodiff;
mod cpu;
mod depthwise;
mod group_norm;
mod max_pool;
mod upsample;

pub(crate) use autodiff::{Parent, on_backend, record, seeded_loss};
pub use depthwise::depthwise_conv3;
pub use group_norm::group_norm;
pub use max_pool::max_pool2;
pub use upsample::upsample2;
