//! The result in a sentence and by region.

use model_core::metrics::Summary;

use super::{NONE, dice, ml, number, region, whose};
use crate::chart::grouped;
use crate::html::escape;
use crate::{HeldOut, RegionResult, Report};
use trainer_run::metrics_log::mean;

/// The first section.
pub(crate) fn result(report: &Report) -> String {
    match &report.held_out {
        Some(held_out) => measured(report, held_out),
        None => unmeasured(report),
    }
}

/// Of a run that has not ended: what its validations say.
fn unmeasured(report: &Report) -> String {
    let best = report.history.validations().map(|(step, dice)| (step, mean(dice)));
    let best = best.filter(|best| best.1.is_finite()).max_by(|a, b| a.1.total_cmp(&b.1));
    let found = match best {
        Some((step, best)) => format!(
            "The best validation so far is that after step {}: mean Dice {} on the {} cases.",
            grouped(step as f64, 0),
            dice(best),
            whose(report)
        ),
        None => "It has not been validated yet.".into(),
    };
    format!(
        "<p class=\"lead\">The training has not ended: its history reaches step {}. {found}</p>\n",
        grouped(report.history.steps() as f64, 0)
    )
}

fn measured(report: &Report, held_out: &HeldOut) -> String {
    let regions = &report.run.task.regions;
    let summaries: Vec<Summary> =
        (0..regions.len()).map(|n| held_out.summary(n, |region| region.dice)).collect();
    let scored: Vec<&Summary> = summaries.iter().filter(|summary| summary.n > 0).collect();
    let overall = scored.iter().map(|summary| summary.mean).sum::<f64>() / scored.len() as f64;
    let of_regions = regions.iter().zip(&summaries);
    let of_regions = of_regions.map(|(r, s)| format!("{} {}", escape(&r.name), dice(s.mean)));
    let of_regions = match regions.len() {
        1 => String::new(),
        _ => format!(" ({})", of_regions.collect::<Vec<_>>().join(", ")),
    };
    let whose = whose(report);
    let cases =
        super::count(held_out.cases.len(), &format!("{whose} case"), &format!("{whose} cases"));
    let mut out = format!(
        "<p class=\"lead\"><strong>Mean Dice {}</strong> on {cases}{of_regions}, with the weights \
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

/// A row a region.
fn table(report: &Report, held_out: &HeldOut, dice_of: &[Summary]) -> String {
    /// A column: its head, and the text of a region's summary.
    type Column<'a> = (&'a str, Box<dyn Fn(usize) -> String + 'a>);
    let of = |n: usize, value: fn(&RegionResult) -> Option<f64>| held_out.summary(n, value);
    let least = |n: usize| {
        let scores = held_out.cases.iter().filter_map(move |case| case.regions[n].dice);
        scores.reduce(f64::min).map_or(NONE.into(), dice)
    };
    let mut columns: Vec<Column> = vec![
        ("mean Dice", Box::new(|n| dice(dice_of[n].mean))),
        ("median", Box::new(|n| dice(dice_of[n].median))),
        ("standard deviation", Box::new(|n| dice(dice_of[n].deviation))),
        ("least", Box::new(least)),
        ("n", Box::new(|n| dice_of[n].n.to_string())),
    ];
    let regions = 0..report.run.task.regions.len();
    let any = |value: fn(&RegionResult) -> Option<f64>| regions.clone().any(|n| of(n, value).n > 0);
    if any(|region| region.hd95_mm) {
        let hd95 = move |n| number(of(n, |region| region.hd95_mm).median, 2);
        columns.push(("median HD95, mm", Box::new(hd95)));
    }
    if any(|region| region.nsd) {
        columns.push(("mean NSD", Box::new(move |n| dice(of(n, |region| region.nsd).mean))));
    }
    let volume = move |value: fn(&RegionResult) -> f64| {
        move |n: usize| {
            let volumes = held_out.cases.iter().map(|case| value(&case.regions[n]));
            ml(volumes.sum::<f64>() / held_out.cases.len() as f64)
        }
    };
    columns.push(("mean volume, ml", Box::new(volume(|region| region.predicted_ml))));
    columns.push(("of the reference, ml", Box::new(volume(|region| region.reference_ml))));
    let heads: String =
        columns.iter().map(|(head, _)| format!("<th scope=\"col\">{head}</th>")).collect();
    let row = |n: usize| {
        let cells: String =
            columns.iter().map(|(_, text)| format!("<td>{}</td>", text(n))).collect();
        format!("<tr><th scope=\"row\" class=\"name\">{}</th>{cells}</tr>\n", region(report, n))
    };
    format!(
        "<div class=\"scroll\"><table class=\"wrapped\">\n<thead><tr><th scope=\"col\">region</th>{heads}</tr></thead>\n\
         <tbody>\n{}</tbody></table></div>\n",
        regions.map(row).collect::<String>()
    )
}
