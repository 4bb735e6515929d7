//! Beside a run: stops it from outside, without waiting for the GPU.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::Error;

/// A way to stop a run that waits for the GPU. It is given up where it waits; what the GPU was handed
/// before it still does, and the engine's next run waits for that before it takes memory.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    is_stopped: bool,
    waker: Option<Waker>,
}

impl Stop {
    /// Stops the run, now or as soon as it waits for something.
    pub fn stop(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_stopped = true;
            state.waker.take()
        };
        waker.inspect(Waker::wake_by_ref);
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_stopped
    }

    /// A run that can be stopped.
    ///
    /// # Errors
    /// The run's; [`Error::Cancelled`] when it was stopped.
    pub async fn or<T>(&self, run: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut run = pin!(run);
        poll_fn(|context| {
            {
                let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if state.is_stopped {
                    return Poll::Ready(Err(Error::Cancelled));
                }
                state.waker = Some(context.waker().clone());
            }
            run.as_mut().poll(context)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_waits_is_stopped_at_once() {
        let (stop, from_outside) = (Stop::default(), Stop::default());
        let stopping = from_outside.clone();
        std::thread::spawn(move || stopping.stop());
        let stopped = pollster::block_on(from_outside.or(std::future::pending::<Result<(), _>>()));
        assert_eq!(stopped, Err(Error::Cancelled));
        assert!(from_outside.is_stopped() && !stop.is_stopped());
    }

    #[test]
    fn a_run_that_nobody_stops_gives_its_result() {
        assert_eq!(pollster::block_on(Stop::default().or(async { Ok(7) })), Ok(7));
    }
}
