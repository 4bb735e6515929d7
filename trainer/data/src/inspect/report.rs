//! The report of `rewind inspect` as text: a summary, the faults, then tables.

use model_core::Head;

use super::advice;
use super::inspection::Inspection;
use super::numbers::{max, median, min, product, short};
use super::table::columns;
use crate::data_set::{CaseReport, IntensityStats, list_faults};
use trainer_run::DISCLAIMER;

/// The number of cases that are named as examples of a warning.
const NUM_EXAMPLES: usize = 3;

pub(super) fn report(inspection: &Inspection) -> String {
    let cases = inspection.usable_cases();
    let faults = inspection.faults();
    let mut sections = vec![summary(inspection)];
    sections.push(if faults.is_empty() { "no faults".into() } else { list_faults(&faults) });
    sections.extend(warnings(inspection));
    if !cases.is_empty() {
        if !faults.is_empty() {
            sections.push(format!("statistics of the {} cases without faults", cases.len()));
        }
        sections.push(geometry(&cases));
        sections.push(intensities(inspection, &cases));
        sections.extend(volumes(inspection, &cases));
    }
    sections.extend(inspection.data_set.unused_files.text());
    let advice = advice::advice(inspection);
    if !advice.is_empty() {
        sections.push(format!("for training\n  {}", advice.join("\n  ")));
    }
    sections.push(DISCLAIMER.into());
    sections.join("\n\n")
}

/// Formats the data set's own description: cases, channels, labels and notes.
fn summary(inspection: &Inspection) -> String {
    let data_set = &inspection.data_set;
    let task = &data_set.task;
    let labels: Vec<String> =
        task.labels.iter().map(|label| format!("{} {}", label.code, label.name)).collect();
    let mut rows = vec![
        ["cases".to_string(), count(data_set.cases.len(), data_set.unlabeled.len())],
        ["channels".into(), task.channels.join(", ")],
        ["labels".into(), labels.join(", ")],
    ];
    if task.head == Head::Sigmoid {
        let region = |region: &model_core::Region| {
            let codes: Vec<String> = region.labels.iter().map(u8::to_string).collect();
            format!("{} {{{}}}", region.name, codes.join(", "))
        };
        let regions: Vec<String> = task.regions.iter().map(region).collect();
        rows.push(["regions".into(), regions.join(", ")]);
    }
    if task.name != data_set.name {
        rows.push(["task".into(), task.name.clone()]);
    }
    if let Some(license) = &data_set.license {
        rows.push(["license".into(), license.clone()]);
    }
    rows.extend(data_set.notes.iter().map(|note| ["note".into(), note.clone()]));
    let rows: Vec<String> = rows.iter().map(|[name, text]| format!("  {name:<10}{text}")).collect();
    format!("{}: {}\n{}", data_set.name, data_set.layout.name(), rows.join("\n"))
}

fn count(labeled: usize, unlabeled: usize) -> String {
    match unlabeled {
        0 => format!("{labeled} with labels"),
        _ => format!("{labeled} with labels, {unlabeled} without"),
    }
}

/// Formats each kind of warning once, with the number of its cases.
fn warnings(inspection: &Inspection) -> Option<String> {
    let mut kinds: Vec<(&str, Vec<String>)> = Vec::new();
    for checked in &inspection.checked {
        for warning in &checked.warnings {
            let example = match &warning.detail {
                None => checked.name.clone(),
                Some(detail) => format!("{}: {detail}", checked.name),
            };
            match kinds.iter_mut().find(|(message, _)| *message == warning.message) {
                Some((_, cases)) => cases.push(example),
                None => kinds.push((&warning.message, vec![example])),
            }
        }
    }
    let line = |(message, cases): &(&str, Vec<String>)| {
        let shown = cases[..cases.len().min(NUM_EXAMPLES)].join(", ");
        let rest = if cases.len() > NUM_EXAMPLES { ", …" } else { "" };
        format!("  {} of {}: {message} ({shown}{rest})", cases.len(), inspection.checked.len())
    };
    let lines: Vec<String> = kinds.iter().map(line).collect();
    (!lines.is_empty()).then(|| format!("warnings\n{}", lines.join("\n")))
}

/// Formats the table of sizes and spacings.
fn geometry(cases: &[&CaseReport]) -> String {
    let row = |name: &str, value: &dyn Fn(&CaseReport) -> [f64; 3]| {
        let along = |axis: usize| cases.iter().map(|case| value(case)[axis]).collect::<Vec<f64>>();
        let axes = [along(0), along(1), along(2)];
        let mut distinct: Vec<String> = cases.iter().map(|case| product(value(case))).collect();
        distinct.sort_unstable();
        distinct.dedup();
        vec![
            name.to_string(),
            product(std::array::from_fn(|axis| min(&axes[axis]))),
            product(std::array::from_fn(|axis| median(axes[axis].clone()))),
            product(std::array::from_fn(|axis| max(&axes[axis]))),
            distinct.len().to_string(),
        ]
    };
    let heading = ["right × front × top", "min", "median", "max", "distinct"];
    let rows = [
        heading.map(String::from).to_vec(),
        row("voxels", &|case| case.dims.map(|n| n as f64)),
        row("spacing, mm", &|case| case.spacing_mm),
    ];
    let mut orientations: Vec<&str> = cases.iter().map(|case| case.orientation.as_str()).collect();
    orientations.sort_unstable();
    let axes = orientations.chunk_by(|a, b| a == b);
    let axes: Vec<String> = axes.map(|same| format!("{} in {}", same[0], same.len())).collect();
    format!("geometry\n{}\n  axes in the files: {}", columns(&rows), axes.join(", "))
}

/// Formats the table of intensities.
fn intensities(inspection: &Inspection, cases: &[&CaseReport]) -> String {
    let heading = ["channel", "smallest", "1 %", "median", "99 %", "largest", "background"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    for (n, channel) in inspection.data_set.task.channels.iter().enumerate() {
        let values = |value: &dyn Fn(&IntensityStats) -> f32| -> Vec<f64> {
            cases.iter().map(|case| f64::from(value(&case.channels[n]))).collect()
        };
        rows.push(vec![
            channel.clone(),
            short(min(&values(&|c| c.min))),
            short(median(values(&|c| c.percentile_1))),
            short(median(values(&|c| c.median))),
            short(median(values(&|c| c.percentile_99))),
            short(max(&values(&|c| c.max))),
            advice::background(cases, n).map_or("none".into(), |value| short(value.into())),
        ]);
    }
    format!("intensities (percentiles: median over the cases)\n{}", columns(&rows))
}

/// Formats the table of label volumes, if any case has labels.
fn volumes(inspection: &Inspection, cases: &[&CaseReport]) -> Option<String> {
    let known: Vec<&Vec<f64>> = cases.iter().filter_map(|case| case.volumes_ml.as_ref()).collect();
    if known.is_empty() {
        return None;
    }
    let mut rows = vec![["label", "min", "median", "max", "absent in"].map(String::from).to_vec()];
    for (n, label) in inspection.data_set.task.labels.iter().enumerate() {
        let present: Vec<f64> =
            known.iter().map(|volumes| volumes[n]).filter(|v| *v > 0.0).collect();
        let number = |value: f64| if present.is_empty() { "-".into() } else { short(value) };
        rows.push(vec![
            format!("{} {}", label.code, label.name),
            number(min(&present)),
            number(median(present.clone())),
            number(max(&present)),
            format!("{} of {}", known.len() - present.len(), known.len()),
        ]);
    }
    Some(format!("volumes in ml, of the cases with the label\n{}", columns(&rows)))
}
