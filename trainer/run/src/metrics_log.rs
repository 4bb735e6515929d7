//! metrics.csv: one row for every few steps and every validation.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files;

mod history;

pub use history::History;

const NAME: &str = "metrics.csv";
/// The first columns.
const FIRST: [&str; 7] = [
    "step",
    "learning_rate",
    "loss",
    "cross_entropy",
    "patch_dice",
    "gradient_norm",
    "held_out_dice",
];
/// The column of the mean held-out Dice.
const DICE: usize = FIRST.len() - 1;
/// The columns after those of the regions: time, the variational branch's terms, time again, and
/// what reduced precision does.
const LAST: [&str; 7] =
    ["elapsed_secs", "vae_l2", "vae_kl", "waited_secs", "loss_scale", "skipped_steps", "drift"];
/// The largest history that is read when a run is resumed.
const MAX_BYTES: u64 = 1 << 30;

/// The history of a run, open for appending.
pub struct MetricsLog {
    file: PathBuf,
    writer: csv::Writer<File>,
    regions: usize,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Steps done.
    pub steps: usize,
    /// What was measured.
    pub values: Values,
    /// When; none where the same run is to write the same bytes.
    pub clock: Option<Clock>,
}

/// Times of one process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// Seconds that the processes of the run have trained and measured so far.
    pub elapsed_secs: f64,
    /// Seconds of these that the device waited for patches, where they were counted.
    pub waited_secs: Option<f64>,
}

impl Clock {
    /// Of a run that begins.
    pub const ZERO: Clock = Clock { elapsed_secs: 0.0, waited_secs: Some(0.0) };
}

/// A row is of training or of validation.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Over the steps since the last such row.
    Training {
        /// The learning rate of the last of them.
        learning_rate: f64,
        /// Mean loss, the branch's part included.
        loss: f64,
        /// Mean cross-entropy, whichever the loss is.
        cross_entropy: f64,
        /// Mean Dice of the patches.
        patch_dice: f64,
        /// The gradient's norm at the last of them.
        gradient_norm: f64,
        /// The branch's mean L2 and KL, as they are before they are weighted; none without one.
        branch: Option<[f64; 2]>,
        /// What the loss is multiplied by, and the run's steps so far whose gradient was not finite;
        /// none where the loss is not scaled.
        scaling: Option<(f64, usize)>,
        /// The largest relative error of a rewound sequence's input, where it was measured.
        drift: Option<f64>,
    },
    /// Held-out Dice by region.
    Validation(Vec<f64>),
}

impl MetricsLog {
    /// Opens the history of a run that stands at `steps`: rows after that, which a killed process
    /// wrote after its last checkpoint, are cut off; where the validation of that step is still due,
    /// its row too.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is of other regions.
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
                let at: Option<usize> = record.get(0).and_then(|step| step.parse().ok());
                let is_due = validation_is_due && at == Some(steps) && !record[DICE].is_empty();
                if at.is_some_and(|at| at <= steps) && !is_due {
                    kept.write_record(&record)?;
                }
            }
        }
        files::write(&file, &kept.into_inner()?)?;
        let appending = OpenOptions::new().append(true).open(&file).with_context(about)?;
        let writer = csv::WriterBuilder::new().has_headers(false).from_writer(appending);
        Ok(MetricsLog { file, writer, regions: regions.len() })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// When the file cannot be written to.
    pub fn append(&mut self, row: &Row) -> Result<()> {
        let mut fields = vec![row.steps.to_string()];
        let (mut terms, mut last) = (None, [(); 3].map(|()| String::new()));
        match &row.values {
            Values::Training {
                learning_rate,
                loss,
                cross_entropy,
                patch_dice,
                gradient_norm,
                branch,
                scaling,
                drift,
            } => {
                terms = *branch;
                if let Some((factor, skipped)) = scaling {
                    [last[0], last[1]] = [factor.to_string(), skipped.to_string()];
                }
                if let Some(drift) = drift {
                    last[2] = format!("{drift:.6e}");
                }
                fields.push(format!("{learning_rate:.6e}"));
                let numbers = [loss, cross_entropy, patch_dice, gradient_norm];
                fields.extend(numbers.map(|number| format!("{number:.6}")));
                fields.extend(vec![String::new(); 1 + self.regions]);
            }
            Values::Validation(dice) => {
                fields.extend(vec![String::new(); DICE - 1]);
                fields.extend([&mean(dice)].into_iter().chain(dice).map(|d| format!("{d:.6}")));
            }
        }
        let secs = |secs: Option<f64>| secs.map_or(String::new(), |secs| format!("{secs:.1}"));
        let term = |n: usize| terms.map_or(String::new(), |terms| format!("{:.6e}", terms[n]));
        fields.push(secs(row.clock.map(|clock| clock.elapsed_secs)));
        fields.extend([term(0), term(1)]);
        fields.push(secs(row.clock.and_then(|clock| clock.waited_secs)));
        fields.extend(last);
        self.writer.write_record(&fields)?;
        self.writer.flush().with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// Makes what was appended last through a loss of power.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<()> {
        let about = || format!("cannot write {}", self.file.display());
        self.writer.get_ref().sync_all().with_context(about)
    }
}

fn header(regions: &[String]) -> Vec<String> {
    let of_regions = regions.iter().map(|region| format!("{} {region}", FIRST[DICE]));
    let first = FIRST.into_iter().map(String::from);
    first.chain(of_regions).chain(LAST.map(String::from)).collect()
}

/// The mean of the regions' Dice.
pub fn mean(dice: &[f64]) -> f64 {
    dice.iter().sum::<f64>() / dice.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validation(steps: usize) -> Row {
        Row { steps, values: Values::Validation(vec![0.5]), clock: None }
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
        let (learning_rate, loss, cross_entropy, patch_dice) = (1e-3, 0.5, 0.4, 0.3);
        let gradient_norm = 2.0;
        let values = Values::Training {
            learning_rate,
            loss,
            cross_entropy,
            patch_dice,
            gradient_norm,
            branch,
            scaling: branch.map(|_| (32768.0, 3)),
            drift: branch.map(|_| 0.015625),
        };
        let clock = Some(Clock { elapsed_secs: 9.0, waited_secs: Some(0.5) });
        Row { steps, values, clock }
    }
}
