//! Errors of a run on the CPU.

/// Reasons why a run did not finish.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CpuError {
    /// The weights or the input are not those of the program.
    #[error("the program cannot be run: expected {expected}, found {found}")]
    Program {
        /// The required value.
        expected: String,
        /// The given value.
        found: String,
    },
    /// The machine has too little memory.
    #[error("out of memory: this scan needs {} MiB with this network", needed_bytes.div_ceil(1 << 20))]
    OutOfMemory {
        /// Bytes that the run needs.
        needed_bytes: u64,
    },
    /// Another part of the run failed.
    #[error("another part of the computation failed: {0}")]
    Peer(String),
    /// The run was canceled.
    #[error("canceled")]
    Canceled,
}
