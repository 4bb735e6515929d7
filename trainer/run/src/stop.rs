//! Requests to stop a training: from the keyboard, or from the machine's scheduler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::{Context, Result};

use crate::progress;

/// The number of Ctrl-C, also used for a stop without a signal to this process.
const INTERRUPT: i32 = 2;

/// A request to stop, and its signal.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
}

impl Stop {
    /// Listens for Ctrl-C, SIGTERM (SLURM, Kubernetes, `kill`), SIGHUP (the terminal was closed),
    /// SIGUSR1 and SIGUSR2 (batch systems shortly before the time limit).
    ///
    /// `on_second_interrupt` is called with the exit code at a second Ctrl-C, such as
    /// [`std::process::exit`].
    ///
    /// # Errors
    /// Errors if the system refuses.
    pub fn listen(on_second_interrupt: fn(i32) -> !) -> Result<Stop> {
        let stop = Stop::default();
        stop.clone().start(on_second_interrupt).context("cannot listen for Ctrl-C")?;
        Ok(stop)
    }

    /// Returns the flag that a request sets.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// Returns the exit code of a command that the signal ended, so that a script does not continue.
    pub fn exit_code(&self) -> i32 {
        match self.signal.load(Ordering::Relaxed) {
            0 => 128 + INTERRUPT,
            signal => 128 + signal,
        }
    }

    /// Records a request, and prints the first one. Returns whether it was the first.
    fn ask(&self, signal: i32, name: &str) -> bool {
        if self.asked.swap(true, Ordering::Relaxed) {
            return false;
        }
        self.signal.store(signal, Ordering::Relaxed);
        let again = if signal == INTERRUPT { "; Ctrl-C again stops at once" } else { "" };
        progress::say(format!("\n{name}: stopping after this step{again}"));
        true
    }

    #[cfg(unix)]
    fn start(self, on_second_interrupt: fn(i32) -> !) -> Result<()> {
        use std::time::{Duration, Instant};

        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
        use signal_hook::iterator::Signals;

        /// Launchers repeat a Ctrl-C to processes that already received it from the terminal.
        const REPEAT_INTERVAL: Duration = Duration::from_millis(500);

        let mut signals = vec![SIGINT, SIGTERM, SIGUSR1, SIGUSR2];
        // `nohup` ignores it.
        if !is_ignored(SIGHUP) {
            signals.push(SIGHUP);
        }
        let mut signals = Signals::new(signals)?;
        let listen = move || {
            let mut first = None;
            for signal in signals.forever() {
                let name = match signal {
                    SIGINT => "Ctrl-C",
                    SIGTERM => "SIGTERM",
                    SIGHUP => "SIGHUP",
                    SIGUSR1 => "SIGUSR1",
                    _ => "SIGUSR2",
                };
                let since = *first.get_or_insert_with(Instant::now);
                // Only a second Ctrl-C ends the process: the other senders have SIGKILL.
                if !self.ask(signal, name) && signal == SIGINT && since.elapsed() > REPEAT_INTERVAL
                {
                    on_second_interrupt(128 + signal);
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(listen)?;
        Ok(())
    }

    #[cfg(not(unix))]
    fn start(self, on_second_interrupt: fn(i32) -> !) -> Result<()> {
        Ok(ctrlc::set_handler(move || {
            if !self.ask(INTERRUPT, "Ctrl-C") {
                on_second_interrupt(128 + INTERRUPT);
            }
        })?)
    }
}

/// Returns whether this process ignores a signal.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: reads a signal's action and changes nothing; all zeros are a valid value of its type.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
