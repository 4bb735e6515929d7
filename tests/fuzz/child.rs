//! The process that reads the inputs. It ends at the first that fails; what it came to stands in a
//! file, so that even a process that was killed says at which input.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::{Settings, Target};
use crate::{held_bytes, take_peak_bytes};

/// The exit status after an input that took too much memory.
pub(super) const TOO_MUCH_MEMORY: i32 = 43;
/// The exit status after an input that took too long.
pub(super) const TOO_LONG: i32 = 44;

/// How often the time that an input takes is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// What a child came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Progress {
    /// The input that is being read.
    pub number: u64,
    /// Inputs that were read rather than refused.
    pub num_read: u64,
    /// The most bytes that an input held at once, of those that may be held.
    pub max_held: [u64; 2],
    /// The longest that reading an input took.
    pub slowest_micros: u64,
}

impl Progress {
    fn to_bytes(self) -> [u8; 40] {
        let [held, allowed] = self.max_held;
        let numbers = [self.number, self.num_read, held, allowed, self.slowest_micros];
        std::array::from_fn(|n| numbers[n / 8].to_le_bytes()[n % 8])
    }

    pub(super) fn read(file: &Path) -> std::io::Result<Progress> {
        let bytes = fs::read(file)?;
        let number =
            |n: usize| bytes.as_chunks::<8>().0.get(n).map_or(0, |b| u64::from_le_bytes(*b));
        let max_held = [number(2), number(3)];
        Ok(Progress { number: number(0), num_read: number(1), max_held, slowest_micros: number(4) })
    }
}

/// Of two pairs of held and allowed bytes the one that is nearer to what is allowed.
pub(super) fn nearer(a: [u64; 2], b: [u64; 2]) -> [u64; 2] {
    let is_nearer = u128::from(a[0]) * u128::from(b[1]) >= u128::from(b[0]) * u128::from(a[1]);
    if is_nearer && a[1] > 0 || b[1] == 0 { a } else { b }
}

/// Reads the inputs from number `first` on, until all are read or `duration` is over; `file` holds
/// the progress.
///
/// # Panics
/// When reading an input does, and when the file cannot be written.
pub(super) fn run(target: &Target, settings: &Settings, first: u64, file: &Path) {
    let mut out = File::create(file).expect("a file for the progress");
    let mut progress = Progress { number: first, ..Progress::default() };
    let start = Instant::now();
    let started_millis = watch(settings.time_limit, start);
    while progress.number < settings.iterations && start.elapsed() < settings.duration {
        out.rewind().and_then(|()| out.write_all(&progress.to_bytes())).expect("the progress");
        let input = target.input(settings.seed, progress.number);
        let allowed = (target.max_held_bytes)(&input);
        started_millis.store(start.elapsed().as_millis() as u64, Relaxed);
        let started = Instant::now();
        let before = held_bytes();
        take_peak_bytes();
        let afterwards = (target.read)(&input);
        let held = take_peak_bytes().saturating_sub(before);
        progress.slowest_micros = progress.slowest_micros.max(started.elapsed().as_micros() as u64);
        if held > allowed {
            eprintln!("expected at most {allowed} bytes held, found {held}");
            exit(TOO_MUCH_MEMORY);
        }
        progress.max_held = nearer(progress.max_held, [held as u64, allowed as u64]);
        if let Some(afterwards) = afterwards {
            progress.num_read += 1;
            afterwards();
        }
        progress.number += 1;
    }
    out.rewind().and_then(|()| out.write_all(&progress.to_bytes())).expect("the progress");
    // The watch ends with the process; between two inputs none takes long.
    started_millis.store(u64::MAX, Relaxed);
}

/// Ends the process where an input takes longer than the limit. Returns when the current input was
/// begun, in milliseconds since `start`.
fn watch(limit: Duration, start: Instant) -> Arc<AtomicU64> {
    let started_millis = Arc::new(AtomicU64::new(0));
    let watched = started_millis.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(WATCH_INTERVAL);
            let elapsed_millis =
                (start.elapsed().as_millis() as u64).saturating_sub(watched.load(Relaxed));
            if u128::from(elapsed_millis) > limit.as_millis() {
                eprintln!("expected an answer within {limit:?}, found none");
                exit(TOO_LONG);
            }
        }
    });
    started_millis
}
