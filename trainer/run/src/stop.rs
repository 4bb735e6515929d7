//! A training is asked to stop: at the keyboard, or by whoever runs the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::{Context, Result};

use crate::progress;

/// Ctrl-C's number, and what stands for a stop that no signal of this process asked for.
const INTERRUPT: i32 = 2;

/// Whether it was asked for, and by which signal.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
}

impl Stop {
    /// Listens for Ctrl-C and for the signals by which others end a process: SIGTERM (SLURM,
    /// Kubernetes, `kill`), SIGHUP (its terminal is gone), SIGUSR1 and SIGUSR2 (batch systems that
    /// tell that time is nearly up). A second Ctrl-C ends the process at once.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn listen() -> Result<Stop> {
        let stop = Stop::default();
        stop.clone().start().context("cannot listen for Ctrl-C")?;
        Ok(stop)
    }

    /// Set once it was asked for.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// What a shell gives for a command that the signal ended: a script does not go on.
    pub fn exit_code(&self) -> i32 {
        match self.signal.load(Ordering::Relaxed) {
            0 => 128 + INTERRUPT,
            signal => 128 + signal,
        }
    }

    /// Notes that it was asked for; says so the first time, and gives whether it was that.
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
    fn start(self) -> Result<()> {
        use std::time::{Duration, Instant};

        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
        use signal_hook::iterator::Signals;

        /// Launchers pass a Ctrl-C on to processes that have it from the terminal already.
        const SAME: Duration = Duration::from_millis(500);

        let mut signals = vec![SIGINT, SIGTERM, SIGUSR1, SIGUSR2];
        // `nohup` has it ignored.
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
                // The others may come again and again; they have SIGKILL for more.
                if !self.ask(signal, name) && signal == SIGINT && since.elapsed() > SAME {
                    std::process::exit(128 + signal);
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(listen)?;
        Ok(())
    }

    #[cfg(not(unix))]
    fn start(self) -> Result<()> {
        Ok(ctrlc::set_handler(move || {
            if !self.ask(INTERRUPT, "Ctrl-C") {
                std::process::exit(128 + INTERRUPT);
            }
        })?)
    }
}

/// Whether a signal does nothing to this process.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks for a signal's action and changes nothing; all zeros are a value of its type.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
