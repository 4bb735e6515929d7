//! Tables as aligned text and as CSV.

use std::path::Path;

use anyhow::Result;

use super::inspection::Inspection;
use crate::data_set::CheckedCase;
use trainer_run::files::outputs::{self, Output};

/// Aligns rows in columns. The first column is aligned to the left, the others to the right.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("  {}", cells.collect::<Vec<_>>().join("   ").trim_end())
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Writes a row for each case: faults, warnings, size, spacing, intensities and volumes.
pub(super) fn write_csv(inspection: &Inspection, file: &Path) -> Result<()> {
    let task = &inspection.data_set.task;
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut header: Vec<String> =
        ["case", "faults", "warnings", "orientation"].map(String::from).into();
    for axis in ["right", "front", "top"] {
        header.push(format!("voxels {axis}"));
        header.push(format!("spacing {axis} mm"));
    }
    for channel in &task.channels {
        let names = ["min", "percentile 1", "median", "percentile 99", "max", "mean", "deviation"];
        header.extend(names.map(|name| format!("{channel} {name}")));
    }
    header.extend(task.labels.iter().map(|label| format!("{} ml", label.name)));
    csv.write_record(&header)?;
    for fault in &inspection.data_set.faults {
        let mut row = vec![fault.case.clone().unwrap_or_default(), fault.to_string()];
        row.resize(header.len(), String::new());
        csv.write_record(&row)?;
    }
    for checked in &inspection.checked {
        let mut row = row(checked);
        // Fields of files that cannot be read are empty.
        row.resize(header.len(), String::new());
        csv.write_record(&row)?;
    }
    outputs::write(Output::CaseTable, file, &csv.into_inner()?)
}

fn row(checked: &CheckedCase) -> Vec<String> {
    let faults: Vec<String> = checked.faults.iter().map(ToString::to_string).collect();
    let warnings: Vec<&str> = checked.warnings.iter().map(|w| w.message.as_str()).collect();
    let mut row = vec![checked.name.clone(), faults.join("; "), warnings.join("; ")];
    let Some(report) = &checked.report else { return row };
    row.push(report.orientation.clone());
    for (voxels, spacing_mm) in report.dims.iter().zip(report.spacing_mm) {
        row.extend([voxels.to_string(), format!("{spacing_mm:.6}")]);
    }
    for c in &report.channels {
        row.extend(
            [c.min, c.percentile_1, c.median, c.percentile_99, c.max].map(|v| v.to_string()),
        );
        row.extend([c.mean, c.deviation].map(|v| format!("{v:.6}")));
    }
    let volumes = report.volumes_ml.iter().flatten();
    row.extend(volumes.map(|volume_ml| format!("{volume_ml:.6}")));
    row
}
