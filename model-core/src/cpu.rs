//! Inference on the processor, natively and in the browser: the engine that runs a
//! [`Program`](crate::Program) with the kernels of [`cpu_kernels`].

mod check;
mod error;
mod norms;
mod peers;
mod plan;
mod run;

pub use error::CpuError;
pub use peers::Peers;
pub use plan::{CpuMemory, CpuPlan, Part, total_bytes};
pub use run::CpuOutput;
