//! A run's history, read back from metrics.csv for the report.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Clock, DICE, FIRST, LAST, MAX_BYTES, NAME, Row, Values};
use crate::files;

/// The place of `waited_secs` among the last columns.
const WAITED: usize = 3;

/// What metrics.csv says.
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
    /// When there is none, or its columns are not those of a history.
    pub fn read(run: &Path) -> Result<History> {
        let file = run.join(NAME);
        let bytes = files::read(&file, MAX_BYTES)?;
        History::parse(&bytes).with_context(|| format!("cannot use {}", file.display()))
    }

    fn parse(bytes: &[u8]) -> Result<History> {
        let mut reader = csv::Reader::from_reader(bytes);
        let found: Vec<String> = reader.headers()?.iter().map(String::from).collect();
        let expected =
            || format!("expected the columns {FIRST:?}, the regions', {LAST:?}, found {found:?}");
        ensure!(found.len() > DICE && found[..=DICE] == FIRST, expected());
        let prefix = format!("{} ", FIRST[DICE]);
        let regions = found[DICE + 1..].iter().map_while(|name| name.strip_prefix(&prefix));
        let regions: Vec<String> = regions.map(String::from).collect();
        let last = &found[DICE + 1 + regions.len()..];
        // Runs of before there was another precision than f32 have fewer.
        ensure!(last == LAST || *last == LAST[..WAITED + 1], expected());
        // A row that a kill cut short does not parse, and nothing follows it.
        let rows = reader.records().map_while(Result::ok);
        let rows = rows.map_while(|record| row(&record, regions.len())).collect();
        Ok(History { regions, rows })
    }

    /// The rows of training: steps done and a value of each.
    pub fn training(&self, value: impl Fn(&Values) -> Option<f64>) -> Vec<(usize, f64)> {
        let rows = self.rows.iter().filter_map(|row| Some((row.steps, value(&row.values)?)));
        rows.filter(|(_, value)| value.is_finite()).collect()
    }

    /// The rows of validation: steps done and each region's Dice.
    pub fn validations(&self) -> impl Iterator<Item = (usize, &[f64])> {
        self.rows.iter().filter_map(|row| match &row.values {
            Values::Validation(dice) => Some((row.steps, &dice[..])),
            Values::Training { .. } => None,
        })
    }

    /// Steps after the last row.
    pub fn steps(&self) -> usize {
        self.rows.last().map_or(0, |row| row.steps)
    }

    /// Steps that changed nothing, since their scaled gradient was not finite.
    pub fn skipped_steps(&self) -> usize {
        let skipped = |row: &Row| match &row.values {
            Values::Training { scaling, .. } => scaling.map(|(_, skipped)| skipped),
            Values::Validation(_) => None,
        };
        self.rows.iter().rev().find_map(skipped).unwrap_or(0)
    }

    /// The largest relative error of a rewound sequence's input; none where it was not measured.
    pub fn largest_drift(&self) -> Option<f64> {
        let drifts = self.rows.iter().filter_map(|row| match &row.values {
            Values::Training { drift, .. } => *drift,
            Values::Validation(_) => None,
        });
        // What is no number is worse than all numbers.
        drifts.max_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)))
    }

    /// Seconds that all processes of the run trained and measured, as far as their rows were kept;
    /// none without a clock.
    pub fn total_secs(&self) -> Option<f64> {
        Some(self.clock()?.elapsed_secs)
    }

    /// The share of the time that the device waited for patches; none where that was not counted.
    pub fn waited_share(&self) -> Option<f64> {
        let Clock { elapsed_secs, waited_secs } = self.clock()?;
        waited_secs.filter(|_| elapsed_secs > 0.0).map(|waited| waited / elapsed_secs)
    }

    /// The last clock: each process goes on from where the one before it was.
    pub fn clock(&self) -> Option<Clock> {
        self.rows.iter().rev().find_map(|row| row.clock)
    }

    /// Seconds of a step: between neighboring rows of training, so that validations do not count;
    /// none without a clock.
    pub fn step_secs(&self) -> Option<f64> {
        let (mut secs, mut steps) = (0.0, 0);
        for two in self.rows.windows(2) {
            let are_training = two.iter().all(|row| matches!(row.values, Values::Training { .. }));
            let (Some(a), Some(b)) = (two[0].clock, two[1].clock) else { continue };
            if are_training && b.elapsed_secs >= a.elapsed_secs && two[1].steps > two[0].steps {
                secs += b.elapsed_secs - a.elapsed_secs;
                steps += two[1].steps - two[0].steps;
            }
        }
        (steps > 0).then(|| secs / steps as f64)
    }
}

/// A row, or none where it is not whole.
fn row(record: &csv::StringRecord, num_regions: usize) -> Option<Row> {
    let text = |n: usize| record.get(n).unwrap_or_default();
    let number = |n: usize| text(n).parse::<f64>().ok();
    let rest = DICE + 1 + num_regions;
    let values = match text(DICE) {
        "" => Values::Training {
            learning_rate: number(1)?,
            loss: number(2)?,
            cross_entropy: number(3)?,
            patch_dice: number(4)?,
            gradient_norm: number(5)?,
            branch: number(rest + 1).zip(number(rest + 2)).map(|(l2, kl)| [l2, kl]),
            scaling: number(rest + 4).zip(text(rest + 5).parse().ok()),
            drift: number(rest + 6),
        },
        _ => Values::Validation((DICE + 1..rest).map(number).collect::<Option<_>>()?),
    };
    let clock =
        number(rest).map(|elapsed_secs| Clock { elapsed_secs, waited_secs: number(rest + WAITED) });
    Some(Row { steps: text(0).parse().ok()?, values, clock })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processes: the second went on from step 20.
    const TEXT: &str = "step,learning_rate,loss,cross_entropy,patch_dice,gradient_norm,\
        held_out_dice,held_out_dice core,elapsed_secs,vae_l2,vae_kl,waited_secs\n\
        10,1e-3,0.5,0.4,0.3,2.0,,,4.0,,,1.0\n\
        20,1e-3,0.4,0.4,0.3,2.0,,,6.0,,,2.0\n\
        20,,,,,,0.625,0.625,10.0,,,2.0\n\
        30,1e-3,0.3,0.4,0.3,2.0,,,15.0,,,3.0\n\
        40,1e-3,0.2,0.4,0.3,2.0,,,20.0,,,4.0\n\
        50,1e-3,0.1,0.4,0.3\n";

    #[test]
    fn times_go_on_over_the_processes_of_a_run() {
        let history = History::parse(TEXT.as_bytes()).unwrap();
        assert_eq!((history.regions.len(), history.rows.len(), history.steps()), (1, 5, 40));
        assert_eq!(history.validations().collect::<Vec<_>>(), [(20, &[0.625][..])]);
        assert_eq!((history.total_secs(), history.waited_share()), (Some(20.0), Some(0.2)));
        // (6 − 4) + (10 − 5) seconds for 20 steps.
        assert_eq!(history.step_secs(), Some(0.35));
    }

    #[test]
    fn a_history_without_a_clock_says_nothing_of_time() {
        let history = History::parse(TEXT.replace(",4.0\n", ",\n").as_bytes()).unwrap();
        assert_eq!(history.waited_share(), None);
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
    fn skipped_steps_are_those_that_the_last_row_counts() {
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
    fn a_file_that_is_no_history_is_refused_by_its_columns() {
        for text in ["", "a,b\n1,2\n", "step,learning_rate\n1,2\n"] {
            let error = History::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("expected the columns"), "{error}");
        }
    }
}
