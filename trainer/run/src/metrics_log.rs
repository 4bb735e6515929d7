//! metrics.csv, the history of a run: a row for every few steps and for every validation.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files;
use crate::metrics::{Metric, Scalars};

mod history;

pub use history::History;

const NAME: &str = "metrics.csv";
/// The column of the mean held-out Dice; the regions' columns follow.
const DICE_COLUMN: usize = column(Metric::HeldOutDice, 0);
/// The largest history that is read.
const MAX_BYTES: u64 = 1 << 30;

/// The history of a run, open for appending.
pub struct MetricsLog {
    file: PathBuf,
    writer: csv::Writer<File>,
    num_regions: usize,
}

/// A row of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Steps done.
    pub steps: usize,
    /// Values of the metrics.
    pub scalars: Scalars,
    /// Held-out Dice by region; empty in a training row.
    pub region_dice: Vec<f64>,
}

/// Times of a run, over all of its processes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// Seconds of training and validation.
    pub elapsed_secs: f64,
    /// Seconds of these that the device waited for patches; `None` in runs that did not count them.
    pub waited_secs: Option<f64>,
}

impl Clock {
    /// The clock of a run that begins.
    pub const ZERO: Clock = Clock { elapsed_secs: 0.0, waited_secs: Some(0.0) };
}

impl Row {
    /// A row over the training steps since the last such row.
    pub fn training(steps: usize, scalars: Scalars) -> Row {
        Row { steps, scalars, region_dice: Vec::new() }
    }

    /// A row of a validation.
    pub fn validation(steps: usize, region_dice: Vec<f64>) -> Row {
        let scalars = Scalars::from_iter([(Metric::HeldOutDice, mean(&region_dice))]);
        Row { steps, scalars, region_dice }
    }

    /// Adds the time. A deterministic run has rows without time.
    pub fn at(mut self, clock: Option<Clock>) -> Row {
        if let Some(Clock { elapsed_secs, waited_secs }) = clock {
            self.scalars.extend([(Metric::ElapsedSecs, elapsed_secs)]);
            self.scalars.extend(waited_secs.map(|secs| (Metric::WaitedSecs, secs)));
        }
        self
    }

    /// Returns the time; `None` in a deterministic run.
    pub fn clock(&self) -> Option<Clock> {
        let elapsed_secs = self.scalars.get(Metric::ElapsedSecs)?;
        Some(Clock { elapsed_secs, waited_secs: self.scalars.get(Metric::WaitedSecs) })
    }

    /// Returns whether the row is of a validation.
    pub fn is_validation(&self) -> bool {
        self.scalars.get(Metric::HeldOutDice).is_some()
    }
}

impl MetricsLog {
    /// Opens the history of a run that resumes after `steps` steps.
    ///
    /// Rows of later steps, which a killed process wrote after its last checkpoint, are removed.
    /// Where the validation after `steps` steps is still due, its row is removed too.
    ///
    /// # Errors
    /// Errors if the file cannot be read or written, or has the columns of other regions.
    pub fn open(
        run: &Path,
        regions: &[String],
        steps: usize,
        validation_is_due: bool,
    ) -> Result<MetricsLog> {
        let file = run.join(NAME);
        let header = header(regions);
        let about = || format!("cannot use {}", file.display());
        let mut kept = csv::Writer::from_writer(Vec::new());
        kept.write_record(&header)?;
        if file.exists() && steps > 0 {
            let bytes = files::read(&file, MAX_BYTES)?;
            let mut reader = csv::Reader::from_reader(&bytes[..]);
            let found = reader.headers().with_context(about)?;
            ensure!(*found == header, "{}: expected the columns {header:?}", about());
            // A row that a kill cut short does not parse, and belongs to a later step.
            for record in reader.records().map_while(Result::ok) {
                let row_steps: Option<usize> = record.get(0).and_then(|step| step.parse().ok());
                let is_validation = !record[DICE_COLUMN].is_empty();
                let is_due = validation_is_due && row_steps == Some(steps) && is_validation;
                if row_steps.is_some_and(|row_steps| row_steps <= steps) && !is_due {
                    kept.write_record(&record)?;
                }
            }
        }
        files::write(&file, &kept.into_inner()?)?;
        let appending = OpenOptions::new().append(true).open(&file).with_context(about)?;
        let writer = csv::WriterBuilder::new().has_headers(false).from_writer(appending);
        Ok(MetricsLog { file, writer, num_regions: regions.len() })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// Errors if the file cannot be written.
    pub fn append(&mut self, row: &Row) -> Result<()> {
        let mut fields = vec![row.steps.to_string()];
        for metric in Metric::ALL {
            let text = |value: Option<f64>| value.map_or(String::new(), |v| metric.format(v));
            fields.push(text(row.scalars.get(metric)));
            if metric == Metric::HeldOutDice {
                let dice = |region: usize| text(row.region_dice.get(region).copied());
                fields.extend((0..self.num_regions).map(dice));
            }
        }
        self.writer.write_record(&fields)?;
        self.writer.flush().with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// Makes the appended rows survive a loss of power.
    ///
    /// # Errors
    /// Errors if the disk refuses.
    pub fn sync(&self) -> Result<()> {
        let about = || format!("cannot write {}", self.file.display());
        self.writer.get_ref().sync_all().with_context(about)
    }
}

fn header(regions: &[String]) -> Vec<String> {
    let mut columns = vec!["step".to_string()];
    for metric in Metric::ALL {
        columns.push(metric.column().into());
        if metric == Metric::HeldOutDice {
            columns.extend(regions.iter().map(|region| format!("{} {region}", metric.column())));
        }
    }
    columns
}

/// Returns the position of a metric's column, after the steps and, for the later ones, the regions.
const fn column(metric: Metric, num_regions: usize) -> usize {
    let follows_regions = metric as usize > Metric::HeldOutDice as usize;
    1 + metric as usize + if follows_regions { num_regions } else { 0 }
}

/// Returns the mean over the regions of their Dice.
pub fn mean(region_dice: &[f64]) -> f64 {
    region_dice.iter().sum::<f64>() / region_dice.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validation(steps: usize) -> Row {
        Row::validation(steps, vec![0.5])
    }

    #[test]
    fn a_resumed_history_has_every_row_once() {
        let run = std::env::temp_dir().join(format!("rewind-metrics-{}", std::process::id()));
        std::fs::create_dir_all(&run).unwrap();
        let regions = ["core".to_string()];
        let mut log = MetricsLog::open(&run, &regions, 0, false).unwrap();
        [10, 20, 30].iter().for_each(|&steps| log.append(&validation(steps)).unwrap());
        drop(log);
        let mut text = std::fs::read_to_string(run.join(NAME)).unwrap();
        text.push_str("40,1.0e-3,0.7");
        std::fs::write(run.join(NAME), text).unwrap();
        let mut log = MetricsLog::open(&run, &regions, 20, false).unwrap();
        log.append(&validation(30)).unwrap();
        let steps = || -> Vec<String> {
            let text = std::fs::read_to_string(run.join(NAME)).unwrap();
            text.lines().map(|line| line.split(',').next().unwrap().to_string()).collect()
        };
        assert_eq!(steps(), ["step", "10", "20", "30"]);
        drop(MetricsLog::open(&run, &regions, 30, true).unwrap());
        assert_eq!(steps(), ["step", "10", "20"]);
        std::fs::remove_dir_all(run).unwrap();
    }

    #[test]
    fn a_history_of_other_columns_is_refused_and_rows_are_read_back() {
        let run = std::env::temp_dir().join(format!("rewind-columns-{}", std::process::id()));
        std::fs::create_dir_all(&run).unwrap();
        let regions = ["core".to_string()];
        let mut log = MetricsLog::open(&run, &regions, 0, false).unwrap();
        let rows = [training(20, Some([0.25, 1e-5])), validation(20), training(30, None)];
        rows.iter().for_each(|row| log.append(row).unwrap());
        assert_eq!(History::read(&run).unwrap().rows, rows);
        assert!(MetricsLog::open(&run, &["other".to_string()], 20, false).is_err());
        std::fs::remove_dir_all(run).unwrap();
    }

    fn training(steps: usize, branch: Option<[f64; 2]>) -> Row {
        let mut scalars = Scalars::from_iter([
            (Metric::LearningRate, 1e-3),
            (Metric::Loss, 0.5),
            (Metric::CrossEntropy, 0.4),
            (Metric::PatchDice, 0.3),
            (Metric::GradientNorm, 2.0),
        ]);
        if let Some([l2, kl]) = branch {
            scalars.extend([(Metric::VaeL2, l2), (Metric::VaeKl, kl), (Metric::Drift, 0.015625)]);
            scalars.extend([(Metric::LossScale, 32768.0), (Metric::SkippedSteps, 3.0)]);
        }
        let clock = Clock { elapsed_secs: 9.0, waited_secs: Some(0.5) };
        Row::training(steps, scalars).at(Some(clock))
    }

    #[test]
    fn columns_and_numbers_keep_their_order_and_format() {
        let run = tempfile::tempdir().unwrap();
        let regions = ["core".to_string(), "whole".to_string()];
        let mut log = MetricsLog::open(run.path(), &regions, 0, false).unwrap();
        log.append(&training(10, Some([0.25, 1e-5]))).unwrap();
        log.append(&training(20, None)).unwrap();
        let clock = Clock { elapsed_secs: 12.34, waited_secs: None };
        log.append(&Row::validation(20, vec![0.5, 0.25]).at(Some(clock))).unwrap();
        assert_eq!(
            std::fs::read_to_string(run.path().join(NAME)).unwrap(),
            "step,learning_rate,loss,cross_entropy,patch_dice,gradient_norm,held_out_dice,\
             held_out_dice core,held_out_dice whole,elapsed_secs,vae_l2,vae_kl,waited_secs,\
             loss_scale,skipped_steps,drift\n\
             10,1.000000e-3,0.500000,0.400000,0.300000,2.000000,,,,9.0,2.500000e-1,1.000000e-5,\
             0.5,32768,3,1.562500e-2\n\
             20,1.000000e-3,0.500000,0.400000,0.300000,2.000000,,,,9.0,,,0.5,,,\n\
             20,,,,,,0.375000,0.500000,0.250000,12.3,,,,,,\n"
        );
    }
}
