//! The result: a sentence, and a table by region.

use model_core::metrics::Summary;

use super::{MISSING, case_kind, dice, ml, number, region_name};
use crate::chart::grouped;
use crate::escape::escape;
use crate::{HeldOut, RegionResult, Report};
use trainer_run::metrics_log::mean;

/// Returns the first section.
pub(crate) fn result(report: &Report) -> String {
    match &report.held_out {
        Some(held_out) => finished(report, held_out),
        None => unfinished(report),
    }
}

/// Describes the validations of a run that has not ended.
fn unfinished(report: &Report) -> String {
    let best = report.history.validations().map(|(step, dice)| (step, mean(dice)));
    let best = best.filter(|best| best.1.is_finite()).max_by(|a, b| a.1.total_cmp(&b.1));
    let found = match best {
        Some((step, best)) => format!(
            "The best validation so far is after step {}: mean Dice {} on the {} cases.",
            grouped(step as f64, 0),
            dice(best),
            case_kind(report)
        ),
        None => "There is no validation yet.".into(),
    };
    format!(
        "<p class=\"lead\">The training has not ended: its history reaches step {}. {found}</p>\n",
        grouped(report.history.steps() as f64, 0)
    )
}

/// Describes the results of a run that has ended.
fn finished(report: &Report, held_out: &HeldOut) -> String {
    let regions = &report.run.task.regions;
    let summaries: Vec<Summary> =
        (0..regions.len()).map(|n| held_out.summary(n, |region| region.dice)).collect();
    let scored: Vec<&Summary> = summaries.iter().filter(|summary| summary.n > 0).collect();
    let overall = scored.iter().map(|summary| summary.mean).sum::<f64>() / scored.len() as f64;
    let by_region = regions.iter().zip(&summaries);
    let by_region = by_region.map(|(r, s)| format!("{} {}", escape(&r.name), dice(s.mean)));
    let by_region = match regions.len() {
        1 => String::new(),
        _ => format!(" ({})", by_region.collect::<Vec<_>>().join(", ")),
    };
    let kind = case_kind(report);
    let cases =
        super::count(held_out.cases.len(), &format!("{kind} case"), &format!("{kind} cases"));
    let mut out = format!(
        "<p class=\"lead\"><strong>Mean Dice {}</strong> on {cases}{by_region}, with the weights \
         of step {}.</p>\n",
        dice(overall),
        grouped(held_out.steps as f64, 0)
    );
    out += &table(report, held_out, &summaries);
    if held_out.are_training_cases {
        out += "<p>No case was held out: these are the cases that the network was trained on, and \
                the figures say nothing about others.</p>\n";
    } else if held_out.chose_weights {
        out += "<p>The weights are those of the best validation on these same cases, so the figures \
                lean to the good side.</p>\n";
    }
    out += &format!(
        "<p class=\"muted\">Empty regions are scored by the rule <code>{}</code>; n counts the cases \
         with a score.{}</p>\n",
        escape(&held_out.empty_rule),
        match held_out.nsd_tolerance_mm {
            Some(tolerance) => format!(" NSD at a tolerance of {tolerance} mm."),
            None => String::new(),
        }
    );
    out
}

/// Returns the table with a row for each region.
fn table(report: &Report, held_out: &HeldOut, dice_by_region: &[Summary]) -> String {
    /// A column: its heading, and the text for a region.
    type Column<'a> = (&'a str, Box<dyn Fn(usize) -> String + 'a>);
    let summary = |n: usize, score: fn(&RegionResult) -> Option<f64>| held_out.summary(n, score);
    let lowest = |n: usize| {
        let scores = held_out.cases.iter().filter_map(move |case| case.regions[n].dice);
        scores.reduce(f64::min).map_or(MISSING.into(), dice)
    };
    let mut columns: Vec<Column> = vec![
        ("mean Dice", Box::new(|n| dice(dice_by_region[n].mean))),
        ("median", Box::new(|n| dice(dice_by_region[n].median))),
        ("standard deviation", Box::new(|n| dice(dice_by_region[n].deviation))),
        ("lowest", Box::new(lowest)),
        ("n", Box::new(|n| dice_by_region[n].n.to_string())),
    ];
    let regions = 0..report.run.task.regions.len();
    let has_scores =
        |score: fn(&RegionResult) -> Option<f64>| regions.clone().any(|n| summary(n, score).n > 0);
    if has_scores(|region| region.hd95_mm) {
        let hd95 = move |n| number(summary(n, |region| region.hd95_mm).median, 2);
        columns.push(("median HD95, mm", Box::new(hd95)));
    }
    if has_scores(|region| region.nsd) {
        let nsd = move |n| dice(summary(n, |region| region.nsd).mean);
        columns.push(("mean NSD", Box::new(nsd)));
    }
    let volume = move |value: fn(&RegionResult) -> f64| {
        move |n: usize| {
            let volumes = held_out.cases.iter().map(|case| value(&case.regions[n]));
            ml(volumes.sum::<f64>() / held_out.cases.len() as f64)
        }
    };
    columns.push(("mean volume, ml", Box::new(volume(|region| region.predicted_ml))));
    columns.push(("mean reference volume, ml", Box::new(volume(|region| region.reference_ml))));
    let headings: String =
        columns.iter().map(|(heading, _)| format!("<th scope=\"col\">{heading}</th>")).collect();
    let row = |n: usize| {
        let cells: String =
            columns.iter().map(|(_, text)| format!("<td>{}</td>", text(n))).collect();
        format!(
            "<tr><th scope=\"row\" class=\"name\">{}</th>{cells}</tr>\n",
            region_name(report, n)
        )
    };
    format!(
        "<div class=\"scroll\"><table class=\"wrapped\">\n<thead><tr><th scope=\"col\">region</th>{headings}</tr></thead>\n\
         <tbody>\n{}</tbody></table></div>\n",
        regions.map(row).collect::<String>()
    )
}
