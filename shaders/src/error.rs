//! Why a run did not happen or did not finish, in words for the person waiting for it.

/// Everything in this crate that can fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter, or none that gives a device with WebGPU's default limits.
    #[error("no GPU that can be used here: {0}")]
    NoAdapter(String),
    /// A plane of a map does not fit one storage binding.
    #[error(
        "the scan is too large for this network on a GPU: one plane of {channels} channels of \
         {i} × {j} × {k} voxels takes {bytes} bytes, more than the {limit_bytes} bytes ({limit_mib} \
         MiB) that one GPU binding holds",
        i = dims[0], j = dims[1], k = dims[2], limit_mib = limit_bytes >> 20
    )]
    TooLarge {
        /// Its channels.
        channels: usize,
        /// Its voxels along i, j, k.
        dims: [usize; 3],
        /// A plane's bytes on the GPU.
        bytes: u64,
        /// The most that fits.
        limit_bytes: u64,
    },
    /// No plan needs so little memory.
    #[error(
        "this scan needs at least {smallest_mib} MiB of GPU memory with this network, and {budget_mib} \
         MiB are allowed",
        smallest_mib = smallest_bytes.div_ceil(1 << 20), budget_mib = budget_bytes >> 20
    )]
    Budget {
        /// What was allowed.
        budget_bytes: u64,
        /// What the smallest plan takes.
        smallest_bytes: u64,
    },
    /// A program, or weights or an input for it, that contradict themselves.
    #[error("the program cannot be run: expected {expected}, found {found}")]
    Program {
        /// What was needed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The GPU could not give the memory.
    #[error(
        "the GPU is out of memory: this scan needs {needed_mib} MiB with this network ({message})",
        needed_mib = needed_bytes.div_ceil(1 << 20)
    )]
    OutOfMemory {
        /// What the run needs in all.
        needed_bytes: u64,
        /// The driver's words.
        message: String,
    },
    /// The GPU refused or failed an operation.
    #[error("the GPU reported an error: {0}")]
    Device(String),
    /// The GPU was reset or taken away.
    #[error("the connection to the GPU was lost: {0}")]
    DeviceLost(String),
    /// The progress callback asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn program(expected: impl ToString, found: impl ToString) -> Self {
        Error::Program { expected: expected.to_string(), found: found.to_string() }
    }
}
