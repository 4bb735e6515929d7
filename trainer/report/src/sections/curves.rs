//! The curves of the training.

use super::{MISSING, case_kind};
use crate::Report;
use crate::chart::{LineChart, Series};
use crate::escape::escape;
use trainer_run::metrics::{Chart, Curve, Metric, YAxis};
use trainer_run::metrics_log::mean;

/// Returns the charts.
pub(crate) fn curves(report: &Report) -> String {
    let history = &report.history;
    let steps = history.steps();
    let mark = best_step(report);
    let mark = mark.as_ref().map(|(step, label)| (*step, label.as_str()));
    let mut figures = vec![validation(report, steps, mark)];
    for (metric, Chart { title, y_axis, curve, .. }) in Metric::charts() {
        let series = vec![Series {
            name: title.into(),
            class: "main".into(),
            points: history.values(metric),
            is_noisy: curve == Curve::Noisy,
            has_dots: false,
        }];
        let range = (y_axis == YAxis::Fraction).then_some([0.0, 1.0]);
        let may_be_log = y_axis == YAxis::Log;
        let chart = LineChart { title, steps, series, range, may_be_log, mark };
        figures.push(chart.svg().map(|svg| figure(title, &svg, Annotations::default())));
    }
    let figures: String = figures.into_iter().flatten().collect();
    if figures.is_empty() {
        return format!("<p class=\"empty\">{MISSING} nothing has been logged yet</p>\n");
    }
    format!(
        "<p class=\"muted\">Over optimizer steps. A bold curve is the running mean of the faint one. \
         Point at a chart for its values.</p>\n<div class=\"charts\">\n{figures}</div>\n"
    )
}

/// Returns the step of the best weights and its label, if there are several validations.
fn best_step(report: &Report) -> Option<(usize, String)> {
    let validations = || report.history.validations();
    let step = match &report.held_out {
        Some(held_out) => held_out.steps,
        None => {
            let means = validations().map(|(step, dice)| (step, mean(dice)));
            let means = means.filter(|best| best.1.is_finite());
            means.max_by(|a, b| a.1.total_cmp(&b.1))?.0
        }
    };
    (validations().count() > 1).then(|| (step, format!("best, step {step}")))
}

/// Returns the chart of the validations.
fn validation(report: &Report, steps: usize, mark: Option<(usize, &str)>) -> Option<String> {
    let history = &report.history;
    let points = |value: &dyn Fn(&[f64]) -> f64| -> Vec<(usize, f64)> {
        let values = history.validations().map(|(step, dice)| (step, value(dice)));
        values.filter(|(_, value)| value.is_finite()).collect()
    };
    let num_regions = history.regions.len();
    let mut series: Vec<Series> = (0..num_regions)
        .map(|n| Series {
            name: history.regions[n].clone(),
            class: format!("r{n}"),
            points: points(&|dice| dice[n]),
            is_noisy: false,
            has_dots: true,
        })
        .collect();
    if num_regions > 1 {
        series.push(Series {
            name: "mean".into(),
            class: "mean".into(),
            points: points(&mean),
            is_noisy: false,
            has_dots: false,
        });
    }
    let key = |series: &Series| {
        format!(
            "<li><svg viewBox=\"0 0 26 8\" aria-hidden=\"true\"><path class=\"curve {}\" \
             d=\"M0 4L26 4\"/></svg>{}</li>",
            series.class,
            escape(&series.name)
        )
    };
    let legend =
        format!("<ul class=\"legend\">{}</ul>\n", series.iter().map(key).collect::<String>());
    let title = "Dice of whole cases";
    let subtitle = format!("{} cases, by region", case_kind(report));
    let range = Some([0.0, 1.0]);
    let chart = LineChart { title, steps, series, range, may_be_log: false, mark };
    let annotations = Annotations { subtitle: Some(&subtitle), legend: Some(&legend) };
    chart.svg().map(|svg| figure(title, &svg, annotations))
}

/// The optional texts of a figure, as HTML.
#[derive(Default)]
struct Annotations<'a> {
    subtitle: Option<&'a str>,
    legend: Option<&'a str>,
}

fn figure(title: &str, svg: &str, annotations: Annotations) -> String {
    let Annotations { subtitle, legend } = annotations;
    let subtitle = subtitle.map_or(String::new(), |text| format!("<small>{text}</small>"));
    let legend = legend.unwrap_or_default();
    format!("<figure><h3>{title}{subtitle}</h3>\n{legend}{svg}</figure>\n")
}
