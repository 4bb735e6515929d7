//! The inference engine: WGSL kernels, each beside its plain-Rust reference, and the host code that
//! runs a [`Program`](model_core::Program) on wgpu, natively and in the browser.
//!
//! A run has four steps. A program is checked and compiled into a [`Plan`], without a GPU. The
//! plan's buffers are allocated. Its steps are submitted in small batches. The result is read back.
//!
//! # Example
//! `shaders/examples/segment.rs` segments a scan or a phantom and prints the volumes of the regions:
//!
//! ```text
//! cargo run --example segment -- model.safetensors t1.nii.gz t1ce.nii.gz t2.nii.gz flair.nii.gz
//! ```

mod check;
mod engine;
mod error;
pub mod kernels;
mod layout;
mod output;
mod plan;
pub mod reference;
mod resources;
mod session;
mod weights;

#[cfg(not(target_arch = "wasm32"))]
pub use engine::CopyRate;
pub use engine::{Engine, FusionBenchmark, Progress};
pub use error::Error;
pub use layout::MAX_BINDING_BYTES;
pub use output::Output;
pub use plan::{Binding, Footprint, Plan, PlanOptions, Preference, SlabRange, Step};
pub use session::{Fallback, Gpu, RunOutcome, Session, SessionEvent};
pub use weights::{PackedWeights, WeightLayout};
