//! What a part of a run needs from the others.

use std::ops::ControlFlow;

use super::error::CpuError;

/// The other parts of a run. All parts make the same calls in the same order.
#[allow(async_fn_in_trait)] // the futures stay on their thread
pub trait Peers {
    /// Returns the values of every part, in the order of the parts. Each part gives as many.
    ///
    /// # Errors
    /// [`CpuError::Peer`] if another part ended.
    async fn gather(&mut self, values: Vec<f64>) -> Result<Vec<Vec<f64>>, CpuError>;

    /// Sends planes to the part before and to the part after. Returns theirs.
    ///
    /// # Errors
    /// [`CpuError::Peer`] if another part ended.
    async fn exchange(
        &mut self,
        to_before: Option<Vec<f32>>,
        to_after: Option<Vec<f32>>,
    ) -> Result<[Option<Vec<f32>>; 2], CpuError>;

    /// Receives the completed fraction of the run. Breaking cancels it.
    async fn progress(&mut self, fraction: f64) -> ControlFlow<()>;
}

/// The only part of a run.
pub(super) struct Alone<F> {
    on_progress: F,
}

impl<F: FnMut(f64) -> ControlFlow<()>> Alone<F> {
    pub fn new(on_progress: F) -> Self {
        Alone { on_progress }
    }
}

impl<F: FnMut(f64) -> ControlFlow<()>> Peers for Alone<F> {
    async fn gather(&mut self, values: Vec<f64>) -> Result<Vec<Vec<f64>>, CpuError> {
        Ok(vec![values])
    }

    async fn exchange(
        &mut self,
        _: Option<Vec<f32>>,
        _: Option<Vec<f32>>,
    ) -> Result<[Option<Vec<f32>>; 2], CpuError> {
        Ok([None, None])
    }

    async fn progress(&mut self, fraction: f64) -> ControlFlow<()> {
        (self.on_progress)(fraction)
    }
}
