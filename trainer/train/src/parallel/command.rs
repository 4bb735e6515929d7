//! The next action of all ranks. The first rank chooses it, since it alone has the run's history. A
//! stop that any rank is asked for stops all of them at the same step.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

use super::Reducer;

/// The next action of all ranks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Command {
    /// The run is at its end.
    End = 0,
    /// A step.
    Step = 1,
    /// A validation.
    Validate = 2,
    /// The run ends early, since a rank was asked to stop.
    Stop = 3,
}

/// Sends the first rank's choice to the other ranks, and returns the action. A step becomes a stop
/// if any rank was asked to stop.
///
/// # Errors
/// As [`Reducer::sum_numbers`].
pub(crate) fn announce(
    reducer: &dyn Reducer,
    command: Command,
    stop: &AtomicBool,
) -> Result<Command> {
    agree(reducer, command as u8 as f64, stop)
}

/// Returns the action that the first rank has chosen.
///
/// # Errors
/// As [`Reducer::sum_numbers`].
pub(crate) fn follow(reducer: &dyn Reducer, stop: &AtomicBool) -> Result<Command> {
    agree(reducer, 0.0, stop)
}

fn agree(reducer: &dyn Reducer, command: f64, stop: &AtomicBool) -> Result<Command> {
    let is_stopped = stop.load(Ordering::Relaxed);
    let mut numbers = [command, f64::from(u8::from(is_stopped))];
    reducer.sum_numbers(&mut numbers)?;
    Ok(match numbers {
        [1.0, 0.0] => Command::Step,
        [1.0, _] => Command::Stop,
        [0.0, _] => Command::End,
        [2.0, _] => Command::Validate,
        other => bail!("expected a command of the first rank, found {other:?}"),
    })
}
