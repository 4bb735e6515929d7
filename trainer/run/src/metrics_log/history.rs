//! Reads the history of a run from metrics.csv.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Clock, DICE_COLUMN, MAX_BYTES, NAME, Row, column, header};
use crate::files;
use crate::metrics::{Metric, Scalars};

/// The first column that histories of older versions lack.
const FIRST_ADDED: Metric = Metric::LossScale;

/// The content of metrics.csv.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The regions that were scored.
    pub regions: Vec<String>,
    /// Every row, in the order of the steps.
    pub rows: Vec<Row>,
}

impl History {
    /// Reads the history of a run.
    ///
    /// # Errors
    /// Errors if the file is missing, or its columns are not those of a history.
    pub fn read(run: &Path) -> Result<History> {
        let file = run.join(NAME);
        let bytes = files::read(&file, MAX_BYTES)?;
        History::parse(&bytes).with_context(|| format!("cannot use {}", file.display()))
    }

    fn parse(bytes: &[u8]) -> Result<History> {
        let mut reader = csv::Reader::from_reader(bytes);
        let found: Vec<String> = reader.headers()?.iter().map(String::from).collect();
        let prefix = format!("{} ", Metric::HeldOutDice.column());
        let names = found.iter().skip(DICE_COLUMN + 1);
        let regions = names.map_while(|name| name.strip_prefix(&prefix));
        let regions: Vec<String> = regions.map(String::from).collect();
        let expected = header(&regions);
        ensure!(
            expected.starts_with(&found) && found.len() >= column(FIRST_ADDED, regions.len()),
            "expected the columns {expected:?}, found {found:?}"
        );
        // A row that a kill cut short does not parse, and nothing follows it.
        let records = reader.records().map_while(Result::ok);
        let rows = records.map_while(|record| row(&record, regions.len())).collect();
        Ok(History { regions, rows })
    }

    /// Returns the finite values of a metric, with the steps done.
    pub fn values(&self, metric: Metric) -> Vec<(usize, f64)> {
        let rows = self.rows.iter().filter_map(|row| Some((row.steps, row.scalars.get(metric)?)));
        rows.filter(|(_, value)| value.is_finite()).collect()
    }

    /// Returns the steps done and each region's Dice, by validation.
    pub fn validations(&self) -> impl Iterator<Item = (usize, &[f64])> {
        let rows = self.rows.iter().filter(|row| row.is_validation());
        rows.map(|row| (row.steps, &row.region_dice[..]))
    }

    /// Returns the steps done at the last row.
    pub fn steps(&self) -> usize {
        self.rows.last().map_or(0, |row| row.steps)
    }

    /// Returns the number of steps that changed nothing, since their scaled gradient was not finite.
    pub fn skipped_steps(&self) -> usize {
        let mut rows = self.rows.iter().rev();
        rows.find_map(|row| row.scalars.get(Metric::SkippedSteps)).unwrap_or(0.0) as usize
    }

    /// Returns the largest relative error of a rewound sequence's input; `None` if it was not
    /// measured.
    pub fn largest_drift(&self) -> Option<f64> {
        let drifts = self.rows.iter().filter_map(|row| row.scalars.get(Metric::Drift));
        // Not a number is worse than every number.
        drifts.max_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)))
    }

    /// Returns the seconds of training and validation, over all processes of the run; `None` without
    /// a clock.
    pub fn total_secs(&self) -> Option<f64> {
        Some(self.clock()?.elapsed_secs)
    }

    /// Returns the fraction of the time that the device waited for patches; `None` if it was not
    /// counted.
    pub fn waited_fraction(&self) -> Option<f64> {
        let Clock { elapsed_secs, waited_secs } = self.clock()?;
        waited_secs.filter(|_| elapsed_secs > 0.0).map(|waited| waited / elapsed_secs)
    }

    /// Returns the last clock. Each process continues the clock of the process before it.
    pub fn clock(&self) -> Option<Clock> {
        self.rows.iter().rev().find_map(Row::clock)
    }

    /// Returns the seconds of a step, from neighboring training rows, so that validations do not
    /// count; `None` without a clock.
    pub fn step_secs(&self) -> Option<f64> {
        let (mut secs, mut steps) = (0.0, 0);
        for pair in self.rows.windows(2) {
            let are_training = pair.iter().all(|row| !row.is_validation());
            let (Some(a), Some(b)) = (pair[0].clock(), pair[1].clock()) else { continue };
            if are_training && b.elapsed_secs >= a.elapsed_secs && pair[1].steps > pair[0].steps {
                secs += b.elapsed_secs - a.elapsed_secs;
                steps += pair[1].steps - pair[0].steps;
            }
        }
        (steps > 0).then(|| secs / steps as f64)
    }
}

/// Parses a row; `None` for a row that was cut short.
fn row(record: &csv::StringRecord, num_regions: usize) -> Option<Row> {
    let number = |column: usize| record.get(column)?.parse::<f64>().ok();
    let steps = record.get(0)?.parse().ok()?;
    let value = |metric| Some((metric, number(column(metric, num_regions))?));
    let scalars: Scalars = Metric::ALL.into_iter().filter_map(value).collect();
    let row = Row::training(steps, scalars);
    if !record.get(DICE_COLUMN)?.is_empty() {
        let regions = DICE_COLUMN + 1..DICE_COLUMN + 1 + num_regions;
        let region_dice = regions.map(number).collect::<Option<_>>()?;
        return Some(Row::validation(steps, region_dice).at(row.clock()));
    }
    let mut required = Metric::ALL.into_iter().filter(|metric| metric.is_in_every_training_row());
    required.all(|metric| scalars.get(metric).is_some()).then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of two processes, of which the second resumed after step 20.
    const TEXT: &str = "step,learning_rate,loss,cross_entropy,patch_dice,gradient_norm,\
        held_out_dice,held_out_dice core,elapsed_secs,vae_l2,vae_kl,waited_secs\n\
        10,1e-3,0.5,0.4,0.3,2.0,,,4.0,,,1.0\n\
        20,1e-3,0.4,0.4,0.3,2.0,,,6.0,,,2.0\n\
        20,,,,,,0.625,0.625,10.0,,,2.0\n\
        30,1e-3,0.3,0.4,0.3,2.0,,,15.0,,,3.0\n\
        40,1e-3,0.2,0.4,0.3,2.0,,,20.0,,,4.0\n\
        50,1e-3,0.1,0.4,0.3\n";

    #[test]
    fn times_continue_over_the_processes_of_a_run() {
        let history = History::parse(TEXT.as_bytes()).unwrap();
        assert_eq!((history.regions.len(), history.rows.len(), history.steps()), (1, 5, 40));
        assert_eq!(history.validations().collect::<Vec<_>>(), [(20, &[0.625][..])]);
        assert_eq!((history.total_secs(), history.waited_fraction()), (Some(20.0), Some(0.2)));
        // (6 − 4) + (10 − 5) seconds for 20 steps.
        assert_eq!(history.step_secs(), Some(0.35));
    }

    #[test]
    fn a_history_without_a_clock_has_no_times() {
        let history = History::parse(TEXT.replace(",4.0\n", ",\n").as_bytes()).unwrap();
        assert_eq!(history.waited_fraction(), None);
        let clockless = "10,1e-3,0.5,0.4,0.3,2.0,,,,,,\n";
        let text: String =
            TEXT.lines().take(1).map(|line| format!("{line}\n{clockless}")).collect();
        let history = History::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (history.total_secs(), history.step_secs(), history.rows.len()),
            (None, None, 1)
        );
    }

    #[test]
    fn the_last_row_counts_the_skipped_steps() {
        assert_eq!(History::parse(TEXT.as_bytes()).unwrap().skipped_steps(), 0);
        let head = TEXT.lines().next().unwrap();
        let rows = "10,1e-3,0.5,0.4,0.3,2.0,,,4.0,,,1.0,65536,0,\n\
            20,1e-3,0.4,0.4,0.3,2.0,,,6.0,,,2.0,16384,2,2.5e-3\n20,,,,,,0.5,0.5,7.0,,,2.0,,,\n";
        let text = format!("{head},loss_scale,skipped_steps,drift\n{rows}");
        let history = History::parse(text.as_bytes()).unwrap();
        assert_eq!((history.skipped_steps(), history.rows.len()), (2, 3));
        assert_eq!(history.largest_drift(), Some(2.5e-3));
    }

    #[test]
    fn other_columns_are_refused() {
        for text in ["", "a,b\n1,2\n", "step,learning_rate\n1,2\n"] {
            let error = History::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("expected the columns"), "{error}");
        }
    }
}
