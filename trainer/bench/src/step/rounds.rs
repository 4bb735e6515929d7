//! Rounds of measurements, and their results.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::library::Library;
use crate::stopwatch::Spread;

/// A network in one library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Variant {
    pub library: Library,
    /// Whether the network rewinds.
    pub reversible: bool,
}

impl Variant {
    /// Returns the name of the backward pass.
    pub fn backward(self) -> &'static str {
        if self.reversible { "reversible" } else { "non-reversible" }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} in {}", self.backward(), self.library.name())
    }
}

/// Steps that one process timed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TimedSteps {
    /// The device.
    pub device: String,
    /// The seconds of each step.
    pub seconds: Vec<f64>,
    /// The processor time of each step, summed over all threads; only on the CPU. On a machine that
    /// does other work too, it is steadier than the wall clock.
    pub processor_secs: Vec<f64>,
    /// The most bytes held, above those before the first step.
    pub peak_bytes: Option<u64>,
    /// The source of `peak_bytes`.
    pub memory: String,
    /// Seconds a step by kernel.
    pub split: Option<BTreeMap<String, f64>>,
}

impl TimedSteps {
    /// Adds the steps of another process. A process that split its time adds only the split.
    fn add(&mut self, steps: TimedSteps) {
        if steps.split.is_some() {
            self.split = steps.split;
            return;
        }
        self.seconds.extend(steps.seconds);
        self.processor_secs.extend(steps.processor_secs);
        self.peak_bytes = self.peak_bytes.max(steps.peak_bytes);
    }
}

/// The steps of a variant in all rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VariantSteps {
    #[serde(flatten)]
    pub variant: Variant,
    /// The median of all steps.
    pub median_secs: f64,
    /// The fastest and the slowest step.
    pub range_secs: [f64; 2],
    /// The median of the processor time.
    pub processor_median_secs: Option<f64>,
    #[serde(flatten)]
    pub steps: TimedSteps,
}

impl VariantSteps {
    pub fn new(variant: Variant, steps: TimedSteps) -> VariantSteps {
        let Spread { median, min, max } = Spread::new(&steps.seconds);
        let processor =
            (!steps.processor_secs.is_empty()).then(|| Spread::new(&steps.processor_secs).median);
        VariantSteps {
            variant,
            median_secs: median,
            range_secs: [min, max],
            processor_median_secs: processor,
            steps,
        }
    }
}

/// The result of the command.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepBenchmark {
    /// The variants that could be measured at least once.
    pub rows: Vec<VariantSteps>,
    /// The measurements that failed, in words.
    pub failures: Vec<String>,
}

/// Measures every variant once a round, and at the end how the time of ours is split by kernel.
///
/// `measure` also receives whether to split the time. A variant that fails, for lack of memory for
/// example, is not measured again; its earlier rounds count.
///
/// # Errors
/// Errors if no variant could be measured, with the first error.
pub fn run_rounds(
    variants: &[Variant],
    num_rounds: usize,
    mut measure: impl FnMut(Variant, bool) -> Result<TimedSteps>,
) -> Result<StepBenchmark> {
    let mut timed: Vec<Option<TimedSteps>> = vec![None; variants.len()];
    let mut has_failed = vec![false; variants.len()];
    let mut failures = Vec::new();
    let mut first_error = None;
    for round in 0..=num_rounds {
        let is_split = round == num_rounds;
        for (n, &variant) in variants.iter().enumerate() {
            if has_failed[n] || (is_split && variant.library != Library::Rewind) {
                continue;
            }
            match (measure(variant, is_split), &mut timed[n]) {
                (Ok(steps), Some(earlier)) => earlier.add(steps),
                (Ok(steps), none) => *none = Some(steps),
                (Err(error), _) => {
                    let when = match round {
                        0 => String::new(),
                        _ if is_split => ", split by kernel".into(),
                        _ => format!(", from round {} on", round + 1),
                    };
                    failures.push(format!("{variant}{when}: {error:#}"));
                    has_failed[n] = true;
                    first_error.get_or_insert(error);
                }
            }
        }
    }
    let timed = variants.iter().zip(timed);
    let rows: Vec<VariantSteps> =
        timed.filter_map(|(variant, steps)| Some(VariantSteps::new(*variant, steps?))).collect();
    match first_error {
        Some(error) if rows.is_empty() => Err(error),
        _ => Ok(StepBenchmark { rows, failures }),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn timed(seconds: &[f64], peak_bytes: Option<u64>) -> TimedSteps {
        TimedSteps { seconds: seconds.to_vec(), peak_bytes, ..TimedSteps::default() }
    }

    const VARIANTS: [Variant; 3] = [
        Variant { library: Library::Rewind, reversible: true },
        Variant { library: Library::Libtorch, reversible: true },
        Variant { library: Library::Rewind, reversible: false },
    ];

    #[test]
    fn the_median_is_over_the_steps_of_all_rounds() {
        let mut rounds =
            [timed(&[3.0, 1.0, 8.0], Some(5)), timed(&[4.0], Some(7)), timed(&[], None)]
                .into_iter();
        let benchmark = run_rounds(&VARIANTS[..1], 2, |_, is_split| {
            let split = is_split.then(BTreeMap::new);
            Ok(TimedSteps { split, ..rounds.next().unwrap() })
        });
        let row = benchmark.unwrap().rows.remove(0);
        assert_eq!((row.median_secs, row.range_secs), (3.5, [1.0, 8.0]));
        assert_eq!((row.steps.peak_bytes, row.processor_median_secs), (Some(7), None));
        assert_eq!(row.steps.split, Some(BTreeMap::new()));
    }

    #[test]
    fn rounds_before_a_failure_count() {
        let mut calls = Vec::new();
        let benchmark = run_rounds(&VARIANTS, 3, |variant, is_split| {
            let n = VARIANTS.iter().position(|other| *other == variant).unwrap();
            calls.push((n, is_split));
            match (n, calls.len()) {
                (1, _) => bail!("no such device"),
                (2, 5..) => bail!("out of memory"),
                _ => {
                    let split = is_split.then(BTreeMap::new);
                    Ok(TimedSteps { split, ..timed(&[1.0], None) })
                }
            }
        });
        let StepBenchmark { rows, failures } = benchmark.unwrap();
        // The second fails at once, the third in the second round: neither is measured again.
        let rounds = [0, 1, 2, 0, 2, 0].map(|n| (n, false));
        assert_eq!(calls, [&rounds[..], &[(0, true)]].concat());
        let counts: Vec<usize> = rows.iter().map(|row| row.steps.seconds.len()).collect();
        assert_eq!(counts, [3, 1]);
        assert_eq!(failures.len(), 2);
        assert!(failures[0].starts_with("reversible in libtorch: no such"), "{failures:?}");
        let second = "non-reversible in rewind, from round 2 on: out of";
        assert!(failures[1].starts_with(second), "{failures:?}");
    }

    #[test]
    fn only_a_benchmark_without_any_measurement_is_an_error() {
        let error = run_rounds(&VARIANTS, 2, |variant, _| bail!("{variant}")).unwrap_err();
        assert_eq!(error.to_string(), "reversible in rewind");
        let benchmark = run_rounds(&VARIANTS, 1, |_, is_split| match is_split {
            true => bail!("the clock stopped"),
            false => Ok(timed(&[1.0], None)),
        });
        let StepBenchmark { rows, failures } = benchmark.unwrap();
        assert_eq!((rows.len(), failures.len()), (3, 2));
    }
}
