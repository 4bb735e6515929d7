//! Steps, measured in this process.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use model_core::{UNetConfig, kernels::profiler::OpKind};
use serde::{Deserialize, Serialize};

use super::memory::Watch;
use super::{StepArgs, ours};
use crate::op_clock::seconds_by_kind;

/// Something that can do a step, and waits until it is done.
pub(super) trait Steps {
    /// One step.
    fn step(&mut self) -> Result<()>;

    /// Bytes that the device's own pool has reserved, where it says so.
    fn pool_bytes(&self) -> Option<u64> {
        None
    }
}

/// What a process found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// The device.
    pub device: String,
    /// Each timed step.
    pub seconds: Vec<f64>,
    /// What each took of the processors, all threads together, where the CPU does the work: on a
    /// machine that does other things too, this says more.
    pub processor_secs: Vec<f64>,
    /// The most bytes held, above those before the first step.
    pub peak_bytes: Option<u64>,
    /// How they were found.
    pub memory: String,
    /// Seconds a step by kernel, where that was asked for.
    pub split: Option<BTreeMap<String, f64>>,
}

/// A library and a mode, over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// rewind or libtorch.
    pub library: String,
    /// Whether the network rewinds.
    pub reversible: bool,
    /// The median of all timed steps.
    pub median_secs: f64,
    /// The fastest and the slowest of them.
    pub range_secs: [f64; 2],
    /// The median of the processors' time.
    pub processor_median_secs: Option<f64>,
    /// All rounds together.
    #[serde(flatten)]
    pub measured: Measured,
    /// Seconds a step by kernel, of ours.
    #[serde(skip)]
    pub split: Option<BTreeMap<String, f64>>,
}

impl Row {
    /// Of the first round.
    pub fn new(library: &str, reversible: bool, measured: Measured) -> Row {
        let mut row = Row {
            library: library.to_string(),
            reversible,
            median_secs: 0.0,
            range_secs: [0.0; 2],
            processor_median_secs: None,
            measured,
            split: None,
        };
        row.sum_up();
        row
    }

    /// With a further round.
    pub fn add(&mut self, measured: Measured) {
        self.measured.seconds.extend(measured.seconds);
        self.measured.processor_secs.extend(measured.processor_secs);
        self.measured.peak_bytes = self.measured.peak_bytes.max(measured.peak_bytes);
        self.sum_up();
    }

    fn sum_up(&mut self) {
        let processor = &self.measured.processor_secs;
        self.processor_median_secs = (!processor.is_empty()).then(|| spread(processor).0);
        (self.median_secs, self.range_secs) = spread(&self.measured.seconds);
    }
}

/// The median, the least and the most.
fn spread(seconds: &[f64]) -> (f64, [f64; 2]) {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    ((low + high) / 2.0, [sorted[0], sorted[sorted.len() - 1]])
}

/// Measures a library's steps. Nothing else should run meanwhile.
///
/// # Errors
/// For a network or a device that cannot be had, and where a step fails.
pub(super) fn measure(
    args: &StepArgs,
    library: &str,
    config: &UNetConfig,
    dims: [usize; 3],
) -> Result<Measured> {
    let (device, mut steps): (String, Box<dyn Steps>) = match library {
        #[cfg(feature = "libtorch")]
        "libtorch" => super::theirs::steps(args, config, dims)?,
        _ => ours::steps(args, config, dims)?,
    };
    let mut watch = Watch::start(&device, args.device.as_deref(), steps.pool_bytes());
    for _ in 0..args.warm_up {
        steps.step()?;
        watch.look(steps.pool_bytes());
    }
    if args.split {
        let started = Instant::now();
        let (result, by_kind) = seconds_by_kind(|| (0..args.steps).try_for_each(|_| steps.step()));
        result?;
        let all = started.elapsed().as_secs_f64();
        let split = Some(split(&by_kind, all, args.steps));
        let (seconds, processor_secs) = (vec![all / args.steps as f64], Vec::new());
        let memory = String::new();
        return Ok(Measured { device, seconds, processor_secs, peak_bytes: None, memory, split });
    }
    let (mut seconds, mut processor_secs) = (Vec::new(), Vec::new());
    for _ in 0..args.steps {
        let (started, processor) = (Instant::now(), processor_now());
        steps.step()?;
        seconds.push(started.elapsed().as_secs_f64());
        let processor = processor.zip(processor_now()).filter(|_| device == "cpu");
        processor_secs.extend(processor.map(|(before, after)| after - before));
        watch.look(steps.pool_bytes());
    }
    let (peak_bytes, memory) = watch.most();
    Ok(Measured { device, seconds, processor_secs, peak_bytes, memory: memory.into(), split: None })
}

/// Seconds of the processors that this process has taken so far.
fn processor_now() -> Option<f64> {
    #[cfg(target_os = "linux")]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes one value of this type.
        let error = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
        (error == 0).then_some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Seconds a step by kernel; what no kernel took is "other".
fn split(by_kind: &BTreeMap<OpKind, f64>, all: f64, steps: usize) -> BTreeMap<String, f64> {
    let other = (all - by_kind.values().sum::<f64>()).max(0.0);
    let named = by_kind.iter().map(|(kind, seconds)| (kind.name(), *seconds));
    let a_step = |(name, seconds): (&str, f64)| (name.to_string(), seconds / steps as f64);
    named.chain([("other", other)]).filter(|(_, seconds)| *seconds > 0.0).map(a_step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_every_round_counts() {
        let measured = |seconds: &[f64], bytes| Measured {
            device: "cpu".into(),
            seconds: seconds.to_vec(),
            processor_secs: Vec::new(),
            peak_bytes: bytes,
            memory: String::new(),
            split: None,
        };
        let mut row = Row::new("rewind", true, measured(&[3.0, 1.0, 8.0], Some(5)));
        assert_eq!((row.median_secs, row.range_secs), (3.0, [1.0, 8.0]));
        row.add(measured(&[4.0], Some(7)));
        assert_eq!((row.median_secs, row.range_secs), (3.5, [1.0, 8.0]));
        assert_eq!((row.measured.peak_bytes, row.processor_median_secs), (Some(7), None));
    }

    #[test]
    fn what_no_kernel_took_is_other() {
        let found = split(&[(OpKind::MaxPool, 1.0), (OpKind::Loss, 0.0)].into(), 4.0, 2);
        let expected = [("max pool", 0.5), ("other", 1.5)];
        assert_eq!(found, expected.map(|(name, secs)| (name.to_string(), secs)).into());
    }
}
