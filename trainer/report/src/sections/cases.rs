//! Every case: as dots in box plots, as rows of a table, the worst ones as pictures.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{NONE, dice, ml, number, region};
use crate::chart::{BoxRow, boxes};
use crate::html::escape;
use crate::picture::size;
use crate::{CaseResult, HeldOut, Picture, RegionResult, Report};

/// A score: its head, the value that a table is sorted by, and that value's text.
struct Column {
    head: &'static str,
    of: fn(&RegionResult) -> Option<f64>,
    text: fn(f64) -> String,
}

const COLUMNS: [Column; 5] = [
    Column { head: "Dice", of: |region| region.dice, text: dice },
    Column { head: "HD95, mm", of: |region| region.hd95_mm, text: |value| number(value, 2) },
    Column { head: "NSD", of: |region| region.nsd, text: dice },
    Column { head: "predicted, ml", of: |region| Some(region.predicted_ml), text: ml },
    Column { head: "reference, ml", of: |region| Some(region.reference_ml), text: ml },
];

/// Those of the scores that were measured.
fn columns(held_out: &HeldOut) -> Vec<&'static Column> {
    let regions = || held_out.cases.iter().flat_map(|case| &case.regions);
    COLUMNS.iter().filter(|column| regions().any(|region| (column.of)(region).is_some())).collect()
}

/// Box plots and the table of all cases.
pub(crate) fn cases(report: &Report) -> String {
    let Some(held_out) = report.held_out.as_ref().filter(|h| !h.cases.is_empty()) else {
        return String::new();
    };
    let mut out = String::new();
    let scores = held_out.cases.iter().flat_map(|case| &case.regions).filter_map(|r| r.dice);
    // Whole tenths, so that good results are told apart too.
    let least = scores.fold(0.9, f64::min).max(0.0);
    let range = [(10.0 * least).floor() / 10.0, 1.0];
    let plots = [("Dice", "Dice by region", Some(range)), ("HD95, mm", "HD95 by region, mm", None)];
    for (head, title, range) in plots {
        let column = COLUMNS.iter().find(|column| column.head == head).expect("it stands above");
        if let Some(svg) = boxes(title, &rows(report, held_out, column), range, column.text) {
            out += &format!(
                "<figure class=\"boxes\"><h3>{title}<small>a dot a case; point at it for its name\
                 </small></h3>\n<div class=\"plot\">{svg}</div></figure>\n"
            );
        }
    }
    out + &table(report, held_out) + &warnings(held_out)
}

/// A line for each warning about the scans, with how many cases it is about and the first of them.
fn warnings(held_out: &HeldOut) -> String {
    let mut kinds: Vec<(&str, usize, &str)> = Vec::new();
    for case in &held_out.cases {
        for warning in &case.warnings {
            match kinds.iter_mut().find(|(text, ..)| text == warning) {
                Some((_, count, _)) => *count += 1,
                None => kinds.push((warning, 1, &case.name)),
            }
        }
    }
    let line = |(text, count, first): &(&str, usize, &str)| {
        let cases = if *count == 1 { "case".to_string() } else { format!("{count} cases, first") };
        format!("<p class=\"muted\">{} ({cases} {})</p>\n", escape(text), escape(first))
    };
    kinds.iter().map(line).collect()
}

fn rows(report: &Report, held_out: &HeldOut, column: &Column) -> Vec<BoxRow> {
    let row = |(n, region): (usize, &model_core::Region)| {
        let value = |case: &CaseResult| {
            let value = (column.of)(&case.regions[n]).filter(|value| value.is_finite())?;
            Some((case.name.clone(), value))
        };
        BoxRow {
            name: region.name.clone(),
            class: format!("r{n}"),
            cases: held_out.cases.iter().filter_map(value).collect(),
        }
    };
    report.run.task.regions.iter().enumerate().map(row).collect()
}

/// All cases, the worst first; the heads sort it.
fn table(report: &Report, held_out: &HeldOut) -> String {
    let columns = columns(held_out);
    let num_regions = report.run.task.regions.len();
    let mut groups = String::from("<td></td>");
    let mut heads = String::from("<th scope=\"col\"><button type=\"button\">case</button></th>");
    if num_regions > 1 {
        groups += "<td></td>";
        heads += &head("mean Dice", true, true);
    }
    for n in 0..num_regions {
        groups += &format!(
            "<th scope=\"colgroup\" class=\"group first\" colspan=\"{}\">{}</th>",
            columns.len(),
            region(report, n)
        );
        for (m, column) in columns.iter().enumerate() {
            heads += &head(column.head, m == 0, num_regions == 1 && m == 0);
        }
    }
    let mut cases: Vec<&CaseResult> = held_out.cases.iter().collect();
    let of = |case: &CaseResult| case.dice().unwrap_or(f64::INFINITY);
    cases.sort_by(|a, b| of(a).total_cmp(&of(b)).then_with(|| a.name.cmp(&b.name)));
    let row = |case: &&CaseResult| {
        let mut cells = format!("<th scope=\"row\" class=\"name\">{}</th>", escape(&case.name));
        if num_regions > 1 {
            cells += &cell(case.dice(), dice, true);
        }
        for region in &case.regions {
            for (m, column) in columns.iter().enumerate() {
                cells += &cell((column.of)(region), column.text, m == 0);
            }
        }
        format!("<tr>{cells}</tr>\n")
    };
    format!(
        "<h3 class=\"boxes\">All cases</h3>\n<p class=\"muted\">Worst first; a heading sorts by its \
         column.</p>\n<div class=\"tall\" tabindex=\"0\" role=\"region\" aria-label=\"All cases\">\
         <table class=\"sortable\">\n<thead><tr>{groups}</tr>\n<tr>{heads}</tr></thead>\n<tbody>\n{}\
         </tbody></table></div>\n",
        cases.iter().map(row).collect::<String>()
    )
}

fn head(name: &str, is_first: bool, is_sorted: bool) -> String {
    let class = if is_first { " class=\"first\"" } else { "" };
    let sort = if is_sorted { " aria-sort=\"ascending\"" } else { "" };
    format!("<th scope=\"col\"{class}{sort}><button type=\"button\">{name}</button></th>")
}

fn cell(value: Option<f64>, text: fn(f64) -> String, is_first: bool) -> String {
    let class = if is_first { " class=\"first\"" } else { "" };
    match value.filter(|value| value.is_finite()) {
        Some(value) => format!("<td{class} data-sort=\"{value}\">{}</td>", text(value)),
        None => format!("<td{class} data-sort=\"\">{NONE}</td>"),
    }
}

/// Pictures of the worst cases with their numbers.
pub(crate) fn worst(report: &Report) -> String {
    let Some(held_out) = report.held_out.as_ref().filter(|h| !h.pictures.is_empty()) else {
        return String::new();
    };
    let columns = columns(held_out);
    let legend: String = (0..report.run.task.regions.len())
        .map(|n| format!("<li>{}</li>", region(report, n)))
        .collect();
    let articles = held_out.pictures.iter().filter_map(|picture| {
        let case = held_out.cases.iter().find(|case| case.name == picture.case)?;
        Some(article(report, &columns, case, picture))
    });
    format!(
        "<ul class=\"legend worst-legend\">{legend}</ul>\n<div class=\"worst\">\n{}</div>\n",
        articles.collect::<String>()
    )
}

fn article(report: &Report, columns: &[&Column], case: &CaseResult, picture: &Picture) -> String {
    let name = escape(&case.name);
    let heads: String =
        columns.iter().map(|c| format!("<th scope=\"col\">{}</th>", c.head)).collect();
    let row = |(n, scores): (usize, &RegionResult)| {
        let cells = columns.iter().map(|column| cell((column.of)(scores), column.text, false));
        let cells = cells.collect::<String>();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", region(report, n))
    };
    let rows: String = case.regions.iter().enumerate().map(row).collect();
    let (width, height) = size(&picture.png).unwrap_or((1, 1));
    format!(
        "<article>\n<div><h3>{name} <small class=\"muted\">mean Dice {}</small></h3>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">region</th>{heads}</tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div></div>\n<figure><img width=\"{width}\" \
         height=\"{height}\" alt=\"{name}: scan, reference and prediction in three planes\" \
         src=\"data:image/png;base64,{}\">\n<figcaption class=\"caption\">{}</figcaption></figure>\n\
         </article>\n",
        case.dice().map_or(NONE.into(), dice),
        BASE64_STANDARD.encode(&picture.png),
        escape(&picture.caption)
    )
}
