//! What the page does.

/// The page's activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a model or for scans.
    Idle,
    /// Reading files.
    Loading,
    /// Ready to run the network.
    Ready,
    /// Running the network.
    Running,
    /// Showing a result.
    Done,
    /// Showing an error.
    Error,
}

impl Phase {
    /// Returns the value of the attribute `data-state`.
    pub fn name(self) -> &'static str {
        ["idle", "loading", "ready", "running", "done", "error"][self as usize]
    }

    /// Returns whether new files must wait.
    pub fn is_busy(self) -> bool {
        matches!(self, Phase::Loading | Phase::Running)
    }
}

/// The status line.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The page's activity.
    pub phase: Phase,
    /// The text.
    pub text: String,
}
