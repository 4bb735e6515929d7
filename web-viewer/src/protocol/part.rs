//! The messages between the page's worker and the workers that compute parts of a run.

use serde::{Deserialize, Serialize};

/// A request of the page's worker to a worker that computes one part of a run.
#[derive(Debug, Serialize, Deserialize)]
pub enum PartRequest {
    /// Runs a fixed computation and responds with its duration.
    Trial,
    /// Runs a part of a program. The model bundle, the input's planes and a port to each other part
    /// accompany the request.
    Run {
        /// The size of the network's input along right, anterior, superior.
        dims: [usize; 3],
        /// Whether the result is labels instead of logits.
        decides: bool,
        /// The index of the part, and the number of parts.
        part: [usize; 2],
        /// The number of ranges that the expanded channels of a block are divided into.
        channel_splits: usize,
    },
}

/// A response of a worker that computes one part of a run.
#[derive(Debug, Serialize, Deserialize)]
pub enum PartResponse {
    /// The worker accepts requests.
    Ready,
    /// The duration of the trial in milliseconds.
    Trial(f64),
    /// The completed fraction of the run. More responses follow.
    Progress(f64),
    /// The part is complete. Its logits accompany the response.
    Logits,
    /// The part is complete. Its labels accompany the response.
    Labels,
    /// The memory did not suffice for the bytes.
    OutOfMemory(u64),
    /// The part failed, with a message for the user.
    Failed(String),
}
