//! The report that a tired person reads in ten seconds: what it is, what is wrong, then tables.

use model_core::Head;

use super::numbers::{max, median, min, product, short};
use super::table::columns;
use super::{Inspection, advice};
use crate::data_set::{CaseReport, Intensities, list_faults};
use trainer_run::DISCLAIMER;

/// Names that are given as examples.
const NUM_EXAMPLES: usize = 3;

pub(super) fn report(inspection: &Inspection) -> String {
    let facts = inspection.facts();
    let faults = inspection.faults();
    let mut parts = vec![what(inspection)];
    parts.push(if faults.is_empty() { "no faults".into() } else { list_faults(&faults) });
    parts.extend(warnings(inspection));
    if !facts.is_empty() {
        if !faults.is_empty() {
            parts.push(format!("cases without faults, which what follows is of: {}", facts.len()));
        }
        parts.push(geometry(&facts));
        parts.push(intensities(inspection, &facts));
        parts.extend(volumes(inspection, &facts));
    }
    let left = inspection.data_set.left.text();
    parts.extend((!left.is_empty()).then_some(left));
    let advice = advice::advice(inspection);
    if !advice.is_empty() {
        parts.push(format!("for training\n  {}", advice.join("\n  ")));
    }
    parts.push(DISCLAIMER.into());
    parts.join("\n\n")
}

/// What the data set says of itself.
fn what(inspection: &Inspection) -> String {
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
    if !data_set.licence.is_empty() {
        rows.push(["licence".into(), data_set.licence.clone()]);
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

/// Each warning once, with how many cases it is about.
fn warnings(inspection: &Inspection) -> Option<String> {
    let mut kinds: Vec<(&str, Vec<String>)> = Vec::new();
    for checked in &inspection.checked {
        for warning in &checked.warnings {
            let example = match warning.detail.is_empty() {
                true => checked.name.clone(),
                false => format!("{}: {}", checked.name, warning.detail),
            };
            match kinds.iter_mut().find(|(what, _)| *what == warning.what) {
                Some((_, cases)) => cases.push(example),
                None => kinds.push((&warning.what, vec![example])),
            }
        }
    }
    let line = |(what, cases): &(&str, Vec<String>)| {
        let shown = cases[..cases.len().min(NUM_EXAMPLES)].join(", ");
        let rest = if cases.len() > NUM_EXAMPLES { ", …" } else { "" };
        format!("  {} of {}: {what} ({shown}{rest})", cases.len(), inspection.checked.len())
    };
    let lines: Vec<String> = kinds.iter().map(line).collect();
    (!lines.is_empty()).then(|| format!("worth a look\n{}", lines.join("\n")))
}

/// Sizes and spacings.
fn geometry(facts: &[&CaseReport]) -> String {
    let row = |name: &str, of: &dyn Fn(&CaseReport) -> [f64; 3]| {
        let along = |axis: usize| facts.iter().map(|facts| of(facts)[axis]).collect::<Vec<f64>>();
        let axes = [along(0), along(1), along(2)];
        let mut distinct: Vec<String> = facts.iter().map(|facts| product(of(facts))).collect();
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
        row("voxels", &|facts| facts.dims.map(|n| n as f64)),
        row("spacing, mm", &|facts| facts.spacing_mm),
    ];
    let mut orientations: Vec<&str> = facts.iter().map(|f| f.orientation.as_str()).collect();
    orientations.sort_unstable();
    let axes = orientations.chunk_by(|a, b| a == b);
    let axes: Vec<String> = axes.map(|same| format!("{} in {}", same[0], same.len())).collect();
    format!("geometry\n{}\n  axes in the files: {}", columns(&rows), axes.join(", "))
}

/// The channels' intensities.
fn intensities(inspection: &Inspection, facts: &[&CaseReport]) -> String {
    let heading = ["channel", "smallest", "1 %", "median", "99 %", "largest", "background"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    for (n, channel) in inspection.data_set.task.channels.iter().enumerate() {
        let of = |value: &dyn Fn(&Intensities) -> f32| -> Vec<f64> {
            facts.iter().map(|facts| f64::from(value(&facts.channels[n]))).collect()
        };
        rows.push(vec![
            channel.clone(),
            short(min(&of(&|c| c.min))),
            short(median(of(&|c| c.percentile_1))),
            short(median(of(&|c| c.median))),
            short(median(of(&|c| c.percentile_99))),
            short(max(&of(&|c| c.max))),
            advice::background(facts, n).map_or("none".into(), |value| short(value.into())),
        ]);
    }
    format!("intensities (percentiles: the median of the cases)\n{}", columns(&rows))
}

/// The labels' volumes, where any are known.
fn volumes(inspection: &Inspection, facts: &[&CaseReport]) -> Option<String> {
    let known: Vec<&Vec<f64>> = facts.iter().filter_map(|f| f.volumes_ml.as_ref()).collect();
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
    Some(format!("volumes in ml, where present\n{}", columns(&rows)))
}
