//! The process that starts those that read: it writes down each input that ends one, and goes on
//! behind it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::child::{self, Progress, TOO_LONG, TOO_MUCH_MEMORY};
use super::{Settings, Target};
use crate::{held_bytes, take_peak_bytes};

/// Failures after which a target is left.
const MAX_FAILURES: usize = 16;

/// Names the child's first input in its environment.
const FIRST: &str = "REWIND_FUZZ_FIRST";

/// What a run of one target came to.
#[derive(Debug)]
pub struct Report {
    /// The target.
    pub target: &'static str,
    /// Number of inputs.
    pub num_inputs: u64,
    /// Inputs that were read rather than refused.
    pub num_read: u64,
    /// Inputs that failed.
    pub failures: Vec<Failure>,
    /// The most bytes that an input held at once, and how many that input might hold.
    pub max_held: [u64; 2],
    /// The longest that reading an input took.
    pub slowest: Duration,
    /// How long the run took.
    pub elapsed: Duration,
}

/// An input that failed.
#[derive(Debug)]
pub struct Failure {
    /// Its number.
    pub number: u64,
    /// What it did.
    pub kind: FailureKind,
    /// Where it was written.
    pub file: PathBuf,
}

/// What an input did that no input may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Reading it panicked.
    Panic,
    /// Reading it held more memory than its bytes justify.
    Memory,
    /// Reading it took too long.
    Time,
    /// Reading it ended the process: no memory left, no stack left.
    Abort,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { target, num_inputs, num_read, failures, max_held, slowest, elapsed } = self;
        let [held, allowed] = max_held.map(|bytes| bytes.div_ceil(1024));
        let (secs, slowest_millis) = (elapsed.as_secs_f64(), slowest.as_secs_f64() * 1000.0);
        write!(
            f,
            "{target}: {num_inputs} inputs in {secs:.0} s, {num_read} read; at most {held} of \
             {allowed} KiB, {slowest_millis:.0} ms; {} failures",
            failures.len()
        )?;
        failures.iter().try_for_each(|Failure { kind, number, file }| {
            write!(f, "\n  {kind:?} at input {number}: {}", file.display())
        })
    }
}

/// Fuzzes a target in processes of their own. `start` is the command that calls this function again
/// with the same arguments; in such a process it reads, and does not return.
///
/// # Errors
/// When a process cannot be started, or a file not be written.
pub fn fuzz(
    target: &Target,
    settings: &Settings,
    start: impl Fn() -> Command,
) -> io::Result<Report> {
    let progress_file = settings.out.join(format!("{}.progress", target.name));
    if let Some(first) = std::env::var(FIRST).ok().and_then(|first| first.parse().ok()) {
        child::run(target, settings, first, &progress_file);
        std::process::exit(0);
    }
    fs::create_dir_all(&settings.out)?;
    let started = Instant::now();
    let mut report = Report {
        target: target.name,
        num_inputs: 0,
        num_read: 0,
        failures: Vec::new(),
        max_held: [0, 0],
        slowest: Duration::ZERO,
        elapsed: Duration::ZERO,
    };
    loop {
        let first = report.num_inputs;
        let status = start().env(FIRST, first.to_string()).status()?;
        let progress = Progress::read(&progress_file)?;
        report.num_inputs = progress.number;
        report.num_read += progress.num_read;
        report.slowest = report.slowest.max(Duration::from_micros(progress.slowest_micros));
        report.max_held = child::nearer(report.max_held, progress.max_held);
        report.elapsed = started.elapsed();
        if status.success() {
            break;
        }
        let kind = match status.code() {
            Some(TOO_MUCH_MEMORY) => FailureKind::Memory,
            Some(TOO_LONG) => FailureKind::Time,
            Some(_) => FailureKind::Panic,
            None => FailureKind::Abort,
        };
        let number = progress.number;
        let file = settings.out.join(format!("{}-{}-{number}", target.name, settings.seed));
        fs::write(&file, target.input(settings.seed, number))?;
        report.failures.push(Failure { number, kind, file });
        report.num_inputs += 1;
        if report.failures.len() == MAX_FAILURES {
            break;
        }
    }
    fs::remove_file(progress_file)?;
    Ok(report)
}

/// Reads one input that was written down, in this process, and says what that took.
///
/// # Errors
/// When the file cannot be read.
///
/// # Panics
/// When reading the input does, or holds too much.
pub fn replay(target: &Target, file: &Path) -> io::Result<String> {
    let input = fs::read(file)?;
    let allowed = (target.max_held_bytes)(&input);
    let started = Instant::now();
    let before = held_bytes();
    take_peak_bytes();
    let afterwards = (target.read)(&input);
    let held = take_peak_bytes().saturating_sub(before);
    let took = started.elapsed();
    assert!(held <= allowed, "expected at most {allowed} bytes held, found {held}");
    let outcome = if afterwards.is_some() { "read" } else { "refused" };
    if let Some(afterwards) = afterwards {
        afterwards();
    }
    Ok(format!("{outcome}: {held} of {allowed} bytes held, {took:?}"))
}
