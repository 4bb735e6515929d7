//! metrics.csv: one row for every few steps and every validation.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files;

const NAME: &str = "metrics.csv";
/// The column of the mean held-out Dice.
const DICE: usize = 6;
/// The variational branch's terms, the last columns; histories of before it have none.
const BRANCH: [&str; 2] = ["vae_l2", "vae_kl"];
/// The largest history that is read when a run is resumed.
const MAX_BYTES: u64 = 1 << 30;

/// The history of a run, open for appending.
pub struct MetricsLog {
    file: PathBuf,
    writer: csv::Writer<File>,
    regions: usize,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Steps done.
    pub steps: usize,
    /// What was measured.
    pub values: Values,
    /// Seconds since this process began to train.
    pub elapsed_secs: f64,
}

/// A row is of training or of validation.
#[derive(Debug, Clone)]
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
        let mut header: Vec<String> = "step,learning_rate,loss,cross_entropy,patch_dice,\
                                       gradient_norm,held_out_dice"
            .split(',')
            .map(String::from)
            .collect();
        header.extend(regions.iter().map(|region| format!("held_out_dice {region}")));
        header.push("elapsed_secs".into());
        let before = header.clone();
        header.extend(BRANCH.map(String::from));
        let about = || format!("cannot use {}", file.display());
        let mut kept = csv::Writer::from_writer(Vec::new());
        kept.write_record(&header)?;
        if file.exists() && steps > 0 {
            let bytes = files::read(&file, MAX_BYTES)?;
            let mut reader = csv::Reader::from_reader(&bytes[..]);
            let found = reader.headers().with_context(about)?;
            let is_old = *found == before;
            ensure!(is_old || *found == header, "{}: expected the columns {header:?}", about());
            // A row that a kill cut short does not parse, and belongs to a later step.
            for mut record in reader.records().map_while(Result::ok) {
                let at: Option<usize> = record.get(0).and_then(|step| step.parse().ok());
                let is_due = validation_is_due && at == Some(steps) && !record[DICE].is_empty();
                if at.is_some_and(|at| at <= steps) && !is_due {
                    if is_old {
                        record.extend(BRANCH.map(|_| ""));
                    }
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
        let mut of_branch = BRANCH.map(|_| String::new());
        match &row.values {
            Values::Training {
                learning_rate,
                loss,
                cross_entropy,
                patch_dice,
                gradient_norm,
                branch,
            } => {
                fields.push(format!("{learning_rate:.6e}"));
                if let Some(terms) = branch {
                    of_branch = terms.map(|term| format!("{term:.6e}"));
                }
                let numbers = [loss, cross_entropy, patch_dice, gradient_norm];
                fields.extend(numbers.map(|number| format!("{number:.6}")));
                fields.extend(vec![String::new(); 1 + self.regions]);
            }
            Values::Validation(dice) => {
                fields.extend(vec![String::new(); DICE - 1]);
                let mean = dice.iter().sum::<f64>() / dice.len() as f64;
                fields.extend([&mean].into_iter().chain(dice).map(|dice| format!("{dice:.6}")));
            }
        }
        fields.push(format!("{:.1}", row.elapsed_secs));
        fields.extend(of_branch);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn validation(steps: usize) -> Row {
        Row { steps, values: Values::Validation(vec![0.5]), elapsed_secs: 1.0 }
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

    /// The header and a row as they were written before there was a variational branch.
    #[test]
    fn a_history_without_the_branchs_columns_goes_on_with_them() {
        let run = std::env::temp_dir().join(format!("rewind-old-metrics-{}", std::process::id()));
        std::fs::create_dir_all(&run).unwrap();
        let old = "step,learning_rate,loss,cross_entropy,patch_dice,gradient_norm,held_out_dice,\
                   held_out_dice core,elapsed_secs\n10,1e-3,0.5,0.4,0.3,2.0,,,7.5\n";
        std::fs::write(run.join(NAME), old).unwrap();
        let mut log = MetricsLog::open(&run, &["core".to_string()], 10, false).unwrap();
        let (learning_rate, loss, cross_entropy, patch_dice) = (1e-3, 0.5, 0.4, 0.3);
        let branch = Some([0.25, 1e-5]);
        let values = Values::Training {
            learning_rate,
            loss,
            cross_entropy,
            patch_dice,
            gradient_norm: 2.0,
            branch,
        };
        log.append(&Row { steps: 20, values, elapsed_secs: 1.0 }).unwrap();
        log.append(&validation(20)).unwrap();
        let text = std::fs::read_to_string(run.join(NAME)).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert!(rows.iter().all(|row| row.len() == 11), "{text}");
        let ends: Vec<&[&str]> = rows.iter().map(|row| &row[9..]).collect();
        assert_eq!(ends, [&BRANCH[..], &["", ""], &["2.500000e-1", "1.000000e-5"], &["", ""]]);
        std::fs::remove_dir_all(run).unwrap();
    }
}
