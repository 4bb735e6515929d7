//! The process that starts the reading processes. It stores each input that ended one and continues
//! after it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::child::{self, Progress, TOO_LONG, TOO_MUCH_MEMORY};
use super::{Settings, Target};
use crate::{held_bytes, take_peak_bytes};

/// The number of failures after which a target ends.
const MAX_FAILURES: usize = 16;

/// The environment variable with the number of the child's first input.
const FIRST: &str = "REWIND_FUZZ_FIRST";

/// The result of fuzzing one target.
#[derive(Debug)]
pub struct Report {
    /// The name of the target.
    pub target: &'static str,
    /// The number of inputs.
    pub num_inputs: u64,
    /// The number of inputs that were not refused.
    pub num_read: u64,
    /// The inputs that failed.
    pub failures: Vec<Failure>,
    /// The held bytes and the limit of the input that came nearest to its limit.
    pub max_held: [u64; 2],
    /// The longest time of an input.
    pub slowest: Duration,
    /// The duration of the run.
    pub elapsed: Duration,
}

/// An input that failed.
#[derive(Debug)]
pub struct Failure {
    /// The number of the input.
    pub number: u64,
    /// The kind of failure.
    pub kind: FailureKind,
    /// The file with the input.
    pub file: PathBuf,
}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The reader panicked.
    Panic,
    /// The reader exceeded the memory limit.
    Memory,
    /// The reader exceeded the time limit.
    Time,
    /// The process ended, for example for lack of memory or stack.
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

/// Fuzzes a target in child processes. `start` returns a command that calls this function with the
/// same arguments. In such a child process the function reads the inputs and does not return.
///
/// # Errors
/// If a process cannot be started or a file cannot be written.
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

/// Reads one stored input in this process and returns a line with its memory and time.
///
/// # Errors
/// If the file cannot be read.
///
/// # Panics
/// If the reader panics or exceeds the memory limit.
pub fn replay(target: &Target, file: &Path) -> io::Result<String> {
    let input = fs::read(file)?;
    let allowed = (target.max_held_bytes)(&input);
    let started = Instant::now();
    let before = held_bytes();
    take_peak_bytes();
    let afterwards = (target.read)(&input);
    let held = take_peak_bytes().saturating_sub(before);
    let elapsed = started.elapsed();
    assert!(held <= allowed, "expected at most {allowed} bytes held, found {held}");
    let outcome = if afterwards.is_some() { "read" } else { "refused" };
    if let Some(afterwards) = afterwards {
        afterwards();
    }
    Ok(format!("{outcome}: {held} of {allowed} bytes held, {elapsed:?}"))
}
