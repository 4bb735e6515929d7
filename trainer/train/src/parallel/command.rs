//! What all ranks do next: the first decides, since it alone keeps the run's history; a stop that
//! any of them was asked for stops them all, at the same step.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

use super::Reducer;

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Command {
    /// Nothing is left to do: the ranks part.
    End = 0,
    /// A step.
    Step = 1,
    /// A validation.
    Validate = 2,
    /// They part before that, since one was asked to stop.
    Stop = 3,
}

/// Tells the other ranks what comes next, and says what does: a step that any rank was asked to stop
/// before is none.
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

/// Hears from the first rank what comes next.
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
