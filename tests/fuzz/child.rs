//! The process that reads the inputs. It ends at the first failure. Its progress is in a file, so
//! that the input is known even if the process is killed.

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

/// The exit status after an input that exceeded the memory limit.
pub(super) const TOO_MUCH_MEMORY: i32 = 43;
/// The exit status after an input that exceeded the time limit.
pub(super) const TOO_LONG: i32 = 44;

/// The interval at which the time of the current input is checked.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// The progress of a child process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Progress {
    /// The number of the current input.
    pub number: u64,
    /// The number of inputs that were not refused.
    pub num_read: u64,
    /// The held bytes and the limit of the input that came nearest to its limit.
    pub max_held: [u64; 2],
    /// The longest time of an input.
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

/// Returns the pair of held bytes and limit that is nearer to its limit.
pub(super) fn nearer(a: [u64; 2], b: [u64; 2]) -> [u64; 2] {
    let is_nearer = u128::from(a[0]) * u128::from(b[1]) >= u128::from(b[0]) * u128::from(a[1]);
    if is_nearer && a[1] > 0 || b[1] == 0 { a } else { b }
}

/// Reads the inputs from number `first` on, until all are read or `duration` is over. Writes the
/// progress to `file`.
///
/// # Panics
/// If the reader panics or the file cannot be written.
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
    // The watching thread ends with the process. Without a current input it must not end the
    // process.
    started_millis.store(u64::MAX, Relaxed);
}

/// Starts a thread that ends the process if an input exceeds the time limit. Returns the start of
/// the current input in milliseconds since `start`, for the caller to set.
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
