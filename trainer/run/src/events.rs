//! TensorBoard's event files, beside metrics.csv and with the same numbers.
//!
//! Each process writes a file of its own, as TensorBoard expects. On resuming, the events after the
//! checkpoint are removed from the earlier files, and a restart mark makes an open TensorBoard forget
//! them. The crates for this format bring a whole protobuf stack and are unmaintained; a run needs
//! three messages, which `record` writes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::files;
use crate::metrics::Metric;
use crate::metrics_log::Row;

mod record;

use record::Event;

/// The name of an event file before and after its number. TensorBoard looks for the prefix; the
/// suffix marks the files of Rewind.
const NAME: [&str; 2] = ["events.out.tfevents.", ".rewind"];
/// The group of tags of the held-out Dice, by region.
const HELD_OUT: &str = "held_out_dice/";
/// The largest event file that is read on resuming.
const MAX_BYTES: u64 = 1 << 30;

/// The event files of a run, open for appending.
pub struct EventLog {
    path: PathBuf,
    file: File,
    deterministic: bool,
}

impl EventLog {
    /// Opens the event files of a run that resumes after `steps` steps.
    ///
    /// Events of later steps are removed, and those of the validation after `steps` steps where it is
    /// still due. A `deterministic` log writes the step in place of the time.
    ///
    /// # Errors
    /// Errors if the files cannot be read or written.
    pub fn open(
        run: &Path,
        steps: usize,
        validation_is_due: bool,
        deterministic: bool,
    ) -> Result<EventLog> {
        let found = event_files(run)?;
        let mut next = 0;
        for (number, path) in found {
            next = number.saturating_add(1);
            let about = || format!("cannot cut {}", path.display());
            let bytes = files::read(&path, MAX_BYTES)?;
            let is_kept = |event: &Event| match &event.value {
                None => true,
                Some((tag, _)) => {
                    let is_due = validation_is_due && event.step == steps as u64;
                    steps > 0
                        && event.step <= steps as u64
                        && !(is_due && tag.starts_with(HELD_OUT))
                }
            };
            let (kept_bytes, num_values) = record::prefix(&bytes, is_kept);
            if num_values == 0 {
                std::fs::remove_file(&path).with_context(about)?;
            } else if kept_bytes < bytes.len() {
                let file = OpenOptions::new().write(true).open(&path).with_context(about)?;
                file.set_len(kept_bytes as u64).with_context(about)?;
                file.sync_all().with_context(about)?;
            }
        }
        let path = run.join(format!("{}{next:010}{}", NAME[0], NAME[1]));
        let about = || format!("cannot write {}", path.display());
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let mut log = EventLog { file: file.with_context(about)?, path, deterministic };
        let start = log.wall_secs(steps);
        log.write(&[record::version(start), record::restart(start, steps as u64 + 1)].concat())?;
        Ok(log)
    }

    /// Appends a number under a tag; the text before a `/` is its group.
    ///
    /// # Errors
    /// Errors if the file cannot be written.
    pub fn scalar(&mut self, step: usize, tag: &str, value: f64) -> Result<()> {
        let event = record::scalar(self.wall_secs(step), step as u64, tag, value as f32);
        self.write(&event)
    }

    /// Appends a row of metrics.csv; `regions` are the names of its regions.
    ///
    /// # Errors
    /// Errors if the file cannot be written.
    pub fn row(&mut self, row: &Row, regions: &[String]) -> Result<()> {
        for metric in Metric::ALL {
            if let Some((tag, value)) = metric.tag().zip(row.scalars.get(metric)) {
                self.scalar(row.steps, &tag, value)?;
            }
        }
        for (region, &dice) in regions.iter().zip(&row.region_dice) {
            self.scalar(row.steps, &format!("{HELD_OUT}{region}"), dice)?;
        }
        Ok(())
    }

    /// Makes the appended events survive a loss of power.
    ///
    /// # Errors
    /// Errors if the disk refuses.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Writes a whole event at once, so that a concurrent reader sees no partial event.
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn wall_secs(&self, step: usize) -> f64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.deterministic { step as f64 } else { now().as_secs_f64() }
    }
}

/// Lists the event files of a run with their numbers, in order.
fn event_files(run: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let about = || format!("cannot read {}", run.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(run).with_context(about)? {
        let entry = entry.with_context(about)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(NAME[0]).and_then(|rest| rest.strip_suffix(NAME[1]));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rewind-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Reads the steps and tags of all files, in order.
    fn values(run: &Path) -> Vec<(u64, String)> {
        let mut values = Vec::new();
        for (_, file) in event_files(run).unwrap() {
            let all = |event: &Event| {
                values.extend(event.value.clone().map(|(tag, _)| (event.step, tag)));
                true
            };
            record::prefix(&std::fs::read(file).unwrap(), all);
        }
        values
    }

    fn write(log: &mut EventLog, steps: usize) {
        log.scalar(steps, "training/loss", 0.5).unwrap();
        log.row(&Row::validation(steps, vec![0.25]), &["core".into()]).unwrap();
    }

    #[test]
    fn a_resumed_log_has_every_value_once() {
        let run = folder("events");
        let mut log = EventLog::open(&run, 0, false, true).unwrap();
        [10, 20, 30].iter().for_each(|&steps| write(&mut log, steps));
        let half = record::scalar(0.0, 40, "training/loss", 0.5);
        log.write(&half[..half.len() - 3]).unwrap();
        drop(log);
        let of = |step, tag: &str| (step, tag.to_string());
        let whole = |step| {
            ["training/loss", "held_out_dice/mean", "held_out_dice/core"].map(|tag| of(step, tag))
        };
        // Killed after the checkpoint of step 20, before its validation was done.
        let mut log = EventLog::open(&run, 20, true, true).unwrap();
        let [loss, mean, core] = whole(20);
        assert_eq!(values(&run), [&whole(10)[..], std::slice::from_ref(&loss)].concat());
        log.row(&Row::validation(20, vec![0.25]), &["core".into()]).unwrap();
        write(&mut log, 30);
        log.sync().unwrap();
        assert_eq!(values(&run), [&whole(10)[..], &[loss, mean, core], &whole(30)].concat());
        // Killed again before the next step: its file holds no value and is removed.
        for _ in 0..2 {
            drop(EventLog::open(&run, 30, false, true).unwrap());
        }
        assert_eq!(event_files(&run).unwrap().len(), 3);
        // Resumed from an older checkpoint, whose validation was done.
        drop(EventLog::open(&run, 20, false, true).unwrap());
        assert_eq!(values(&run), [whole(10), whole(20)].concat());
        // Started over.
        drop(EventLog::open(&run, 0, false, true).unwrap());
        assert_eq!((values(&run).len(), event_files(&run).unwrap().len()), (0, 1));
        std::fs::remove_dir_all(run).unwrap();
    }

    #[test]
    fn a_deterministic_log_is_the_same_bytes_twice() {
        let bytes = [0, 1].map(|n| {
            let run = folder(&format!("same-events-{n}"));
            write(&mut EventLog::open(&run, 0, false, true).unwrap(), 10);
            let bytes = std::fs::read(&event_files(&run).unwrap()[0].1).unwrap();
            std::fs::remove_dir_all(run).unwrap();
            bytes
        });
        assert_eq!(bytes[0], bytes[1]);
    }

    #[test]
    fn other_event_files_are_left_alone() {
        let run = folder("other-events");
        let other = run.join("events.out.tfevents.1700000000.host.1.0");
        std::fs::write(&other, b"not ours").unwrap();
        drop(EventLog::open(&run, 0, false, true).unwrap());
        assert_eq!(std::fs::read(&other).unwrap(), b"not ours");
        std::fs::remove_dir_all(run).unwrap();
    }
}
