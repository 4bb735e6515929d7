//! A CSV of paths with a row for each case. Columns: one for each channel, or a single `image`;
//! `label`; `case`; and `patient`, for patients with several cases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use model_core::{Task, is_same_channel};

use super::listing::{file_name, stem};
use super::task_source::TaskSource;
use super::{CaseFiles, DataSet, Fault};
use trainer_run::files;

/// The largest CSV that is read.
const MAX_TABLE_BYTES: u64 = 256 << 20;

/// The indices of the columns.
struct Columns {
    case: Option<usize>,
    /// One column a channel in the task's order, or one column for all channels.
    images: Vec<usize>,
    label: Option<usize>,
    patient: Option<usize>,
}

impl Columns {
    /// Returns the index of the label's column if the row names a label.
    fn label(&self, record: &csv::StringRecord) -> Option<usize> {
        self.label.filter(|&place| record.get(place).is_some_and(|text| !text.is_empty()))
    }
}

/// Lists the cases of a CSV. A row that cannot be used is a fault.
pub(super) fn open(file: &Path, source: TaskSource) -> Result<DataSet> {
    let (TaskSource::Named(task) | TaskSource::Model(task)) = source else {
        bail!(
            "expected --task: a CSV does not state what its labels mean; give a built-in task, a \
             dataset.json or a task as JSON or TOML; found no --task for {}",
            file.display()
        );
    };
    let about = || format!("cannot read {}", file.display());
    let bytes = files::read(file, MAX_TABLE_BYTES)?;
    let text = model_core::utf8_text(&bytes).map_err(|e| e.in_file(file.display().to_string()))?;
    // Spreadsheet programs in many countries separate columns with semicolons.
    let header = text.lines().next().unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().find(|&c| header.contains(char::from(c)));
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .delimiter(delimiter.unwrap_or(b','))
        .from_reader(text.as_bytes());
    let columns = columns(reader.headers().with_context(about)?, &task).with_context(about)?;
    let (mut cases, mut unlabeled, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut patients = BTreeMap::new();
    for (number, record) in reader.records().enumerate() {
        let row = format!("row {}", number + 1);
        let fault = |message: String| Fault::of_case(&row, message, Some(file.to_path_buf()));
        match record {
            Err(error) => faults.push(fault(error.to_string())),
            Ok(record) => match case(&record, &columns, file) {
                Ok(case) => {
                    let patient = columns.patient.and_then(|place| record.get(place));
                    if let Some(patient) = patient.filter(|patient| !patient.is_empty()) {
                        patients.insert(case.name.clone(), patient.to_string());
                    }
                    match case.label {
                        Some(_) => cases.push(case),
                        None => unlabeled.push(case),
                    }
                }
                Err(error) => {
                    let is_unlabeled = columns.label(&record).is_none();
                    faults.push(Fault { is_unlabeled, ..fault(error.to_string()) });
                }
            },
        }
    }
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let data_set = DataSet::new(&name, task, cases);
    Ok(DataSet { unlabeled, faults, patients, ..data_set })
}

/// Finds the columns. Refuses unknown columns, because a misspelled one would be ignored silently.
fn columns(header: &csv::StringRecord, task: &Task) -> Result<Columns> {
    let (mut case, mut image, mut label, mut patient) = (None, None, None, None);
    let mut channels: Vec<Option<usize>> = vec![None; task.channels.len()];
    let refuse = |reason: String| {
        let names = task.channels.join(", ");
        let found: Vec<&str> = header.iter().collect();
        format!(
            "{reason}: expected the columns {names} (or image, for one file with all channels), \
             case, label (for known labels) and patient (for patients with several cases); found {}",
            found.join(", ")
        )
    };
    for (place, name) in header.iter().enumerate() {
        let channel = task.channels.iter().position(|channel| is_same_channel(channel, name));
        let slot = match (name.to_lowercase().as_str(), channel) {
            (_, Some(channel)) => &mut channels[channel],
            ("case", _) => &mut case,
            ("image", _) => &mut image,
            ("label", _) => &mut label,
            ("patient", _) => &mut patient,
            _ => bail!(refuse(format!("unknown column {name:?}"))),
        };
        ensure!(slot.replace(place).is_none(), refuse(format!("column {name:?} appears twice")));
    }
    let images = match (image, channels.iter().copied().collect::<Option<Vec<usize>>>()) {
        (Some(image), _) if channels.iter().all(Option::is_none) => vec![image],
        (None, Some(images)) => images,
        _ => bail!(refuse("the columns of images do not fit the task".into())),
    };
    ensure!(
        case.is_some() || images.len() == 1,
        refuse("no column names the cases, which have several images".into())
    );
    Ok(Columns { case, images, label, patient })
}

/// Reads the case of a row. Paths are relative to the CSV.
fn case(record: &csv::StringRecord, columns: &Columns, file: &Path) -> Result<CaseFiles> {
    let line = record.position().map_or(0, |position| position.line());
    let field = |place: usize| record.get(place).unwrap_or_default();
    let path = |place: usize| -> Result<PathBuf> {
        let text = field(place);
        ensure!(
            !text.is_empty(),
            "line {line}: expected a path in column {}, found none",
            place + 1
        );
        ensure!(!text.contains('\0'), "line {line}: expected a path, found {text:?}");
        Ok(file.with_file_name(text))
    };
    let images = columns.images.iter().map(|&place| path(place)).collect::<Result<Vec<_>>>()?;
    let name = match columns.case.map(field).filter(|name| !name.is_empty()) {
        Some(name) => name.to_string(),
        None if columns.case.is_some() => bail!("line {line}: expected a case's name, found none"),
        None => {
            let name = file_name(&images[0]);
            stem(&name).unwrap_or(&name).to_string()
        }
    };
    let label = columns.label(record).map(path).transpose()?;
    Ok(CaseFiles { name, images, label })
}
