//! Reasons why a run did not start or finish, in words for the user.

/// All errors of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter, or none with WebGPU's default limits.
    #[error("no GPU that can be used here: {0}")]
    NoAdapter(String),
    /// A plane of a feature map exceeds one storage binding.
    #[error(
        "the scan is too large for this network on a GPU: one plane of {channels} channels of \
         {i} × {j} × {k} voxels takes {bytes} bytes, more than the {limit_bytes} bytes ({limit_mib} \
         MiB) that one GPU binding holds",
        i = dims[0], j = dims[1], k = dims[2], limit_mib = limit_bytes >> 20
    )]
    TooLarge {
        /// Channels of the feature map.
        channels: usize,
        /// Voxels along i, j, k.
        dims: [usize; 3],
        /// Bytes of a plane on the GPU.
        bytes: u64,
        /// Upper bound.
        limit_bytes: u64,
    },
    /// No plan fits the budget.
    #[error(
        "this scan needs at least {smallest_mib} MiB of GPU memory with this network, and {budget_mib} \
         MiB are allowed",
        smallest_mib = smallest_bytes.div_ceil(1 << 20), budget_mib = budget_bytes >> 20
    )]
    Budget {
        /// The budget.
        budget_bytes: u64,
        /// Bytes of the smallest plan.
        smallest_bytes: u64,
    },
    /// A program that is inconsistent, or disagrees with weights or input.
    #[error("the program cannot be run: expected {expected}, found {found}")]
    Program {
        /// The required value.
        expected: String,
        /// The given value.
        found: String,
    },
    /// The GPU has too little memory.
    #[error(
        "the GPU is out of memory: this scan needs {needed_mib} MiB with this network ({message})",
        needed_mib = needed_bytes.div_ceil(1 << 20)
    )]
    OutOfMemory {
        /// Bytes that the run needs.
        needed_bytes: u64,
        /// The driver's message.
        message: String,
    },
    /// The GPU rejected or failed an operation.
    #[error("the GPU reported an error: {0}")]
    Device(String),
    /// The GPU was reset or removed.
    #[error("the connection to the GPU was lost: {0}")]
    DeviceLost(String),
    /// The progress callback asked to stop.
    #[error("canceled")]
    Canceled,
}

impl Error {
    pub(crate) fn program(expected: impl ToString, found: impl ToString) -> Self {
        Error::Program { expected: expected.to_string(), found: found.to_string() }
    }
}

impl From<model_core::Error> for Error {
    fn from(error: model_core::Error) -> Self {
        match error {
            model_core::Error::Network { expected, found } => Error::Program { expected, found },
            error => Error::program("a program that can be run", error),
        }
    }
}
