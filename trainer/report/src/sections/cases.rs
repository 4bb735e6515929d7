//! The cases: box plots, a table, and pictures of the worst cases and of a training case.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{MISSING, dice, ml, number, region_name};
use crate::chart::{BoxRow, boxes};
use crate::escape::escape;
use crate::picture::png_size;
use crate::{CaseResult, HeldOut, Picture, RegionResult, Report};

/// A column of the table.
struct Column {
    heading: &'static str,
    /// The value by which the table is sorted.
    value: fn(&RegionResult) -> Option<f64>,
    format: fn(f64) -> String,
}

const COLUMNS: [Column; 5] = [
    Column { heading: "Dice", value: |region| region.dice, format: dice },
    Column {
        heading: "HD95, mm",
        value: |region| region.hd95_mm,
        format: |value| number(value, 2),
    },
    Column { heading: "NSD", value: |region| region.nsd, format: dice },
    Column { heading: "predicted, ml", value: |region| Some(region.predicted_ml), format: ml },
    Column { heading: "reference, ml", value: |region| Some(region.reference_ml), format: ml },
];

/// Returns the columns with at least one value.
fn columns(held_out: &HeldOut) -> Vec<&'static Column> {
    let regions = || held_out.cases.iter().flat_map(|case| &case.regions);
    COLUMNS
        .iter()
        .filter(|column| regions().any(|region| (column.value)(region).is_some()))
        .collect()
}

/// Returns box plots and the table of all cases.
pub(crate) fn cases(report: &Report) -> Option<String> {
    let held_out = report.held_out.as_ref().filter(|h| !h.cases.is_empty())?;
    let mut out = String::new();
    let scores = held_out.cases.iter().flat_map(|case| &case.regions).filter_map(|r| r.dice);
    // The range begins at a tenth close to the lowest score, so that good results differ visibly.
    let lowest = scores.fold(0.9, f64::min).max(0.0);
    let range = [(10.0 * lowest).floor() / 10.0, 1.0];
    let plots = [("Dice", "Dice by region", Some(range)), ("HD95, mm", "HD95 by region, mm", None)];
    for (heading, title, range) in plots {
        let column = COLUMNS.iter().find(|column| column.heading == heading);
        let column = column.expect("one of the columns");
        if let Some(svg) = boxes(title, &rows(report, held_out, column), range, column.format) {
            out += &format!(
                "<figure class=\"boxes\"><h3>{title}<small>one dot per case; point at it for its name\
                 </small></h3>\n<div class=\"plot\">{svg}</div></figure>\n"
            );
        }
    }
    Some(out + &table(report, held_out) + &warnings(held_out))
}

/// Returns a line for each warning about the scans, with the number of its cases and the first
/// case.
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

/// Returns the rows of a box plot, one for each region.
fn rows(report: &Report, held_out: &HeldOut, column: &Column) -> Vec<BoxRow> {
    let row = |(n, region): (usize, &model_core::Region)| {
        let value = |case: &CaseResult| {
            let value = (column.value)(&case.regions[n]).filter(|value| value.is_finite())?;
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

/// Returns the table of all cases, the worst first. Its headings sort it.
fn table(report: &Report, held_out: &HeldOut) -> String {
    let columns = columns(held_out);
    let num_regions = report.run.task.regions.len();
    let mut groups = String::from("<td></td>");
    let mut headings = String::from("<th scope=\"col\"><button type=\"button\">case</button></th>");
    if num_regions > 1 {
        groups += "<td></td>";
        headings += &heading_cell("mean Dice", true, true);
    }
    for n in 0..num_regions {
        groups += &format!(
            "<th scope=\"colgroup\" class=\"group first\" colspan=\"{}\">{}</th>",
            columns.len(),
            region_name(report, n)
        );
        for (m, column) in columns.iter().enumerate() {
            headings += &heading_cell(column.heading, m == 0, num_regions == 1 && m == 0);
        }
    }
    let mut cases: Vec<&CaseResult> = held_out.cases.iter().collect();
    let sort_key = |case: &CaseResult| case.dice().unwrap_or(f64::INFINITY);
    cases.sort_by(|a, b| sort_key(a).total_cmp(&sort_key(b)).then_with(|| a.name.cmp(&b.name)));
    let row = |case: &&CaseResult| {
        let mut cells = format!("<th scope=\"row\" class=\"name\">{}</th>", escape(&case.name));
        if num_regions > 1 {
            cells += &cell(case.dice(), dice, true);
        }
        for region in &case.regions {
            for (m, column) in columns.iter().enumerate() {
                cells += &cell((column.value)(region), column.format, m == 0);
            }
        }
        format!("<tr>{cells}</tr>\n")
    };
    format!(
        "<h3 class=\"boxes\">All cases</h3>\n<p class=\"muted\">Worst first; a heading sorts by its \
         column.</p>\n<div class=\"tall\" tabindex=\"0\" role=\"region\" aria-label=\"All cases\">\
         <table class=\"sortable\">\n<thead><tr>{groups}</tr>\n<tr>{headings}</tr></thead>\n<tbody>\n{}\
         </tbody></table></div>\n",
        cases.iter().map(row).collect::<String>()
    )
}

fn heading_cell(name: &str, is_first: bool, is_sorted: bool) -> String {
    let class = if is_first { " class=\"first\"" } else { "" };
    let sort = if is_sorted { " aria-sort=\"ascending\"" } else { "" };
    format!("<th scope=\"col\"{class}{sort}><button type=\"button\">{name}</button></th>")
}

fn cell(value: Option<f64>, format: fn(f64) -> String, is_first: bool) -> String {
    let class = if is_first { " class=\"first\"" } else { "" };
    match value.filter(|value| value.is_finite()) {
        Some(value) => format!("<td{class} data-sort=\"{value}\">{}</td>", format(value)),
        None => format!("<td{class} data-sort=\"\">{MISSING}</td>"),
    }
}

/// Returns the pictures of the worst cases with their scores.
pub(crate) fn worst(report: &Report) -> Option<String> {
    let held_out = report.held_out.as_ref().filter(|h| !h.pictures.is_empty())?;
    let columns = columns(held_out);
    let articles = held_out.pictures.iter().filter_map(|picture| {
        let case = held_out.cases.iter().find(|case| case.name == picture.case)?;
        Some(article(report, &columns, case, picture))
    });
    Some(gallery(report, &articles.collect::<String>()))
}

/// Returns the picture of a training case with its scores, as Pendse et al. 2020 show one (figure 4).
pub(crate) fn training_case(report: &Report) -> Option<String> {
    let held_out = report.held_out.as_ref()?;
    let training = held_out.training.as_ref()?;
    let article = article(report, &columns(held_out), &training.case, &training.picture);
    let text = "<p class=\"muted\">The network has seen this case. What it does well here and badly \
                above is not learned for other cases; what it does badly here is not learned at \
                all.</p>\n";
    Some(format!("{text}{}", gallery(report, &article)))
}

fn gallery(report: &Report, articles: &str) -> String {
    let legend: String = (0..report.run.task.regions.len())
        .map(|n| format!("<li>{}</li>", region_name(report, n)))
        .collect();
    format!(
        "<ul class=\"legend worst-legend\">{legend}</ul>\n<div class=\"worst\">\n{articles}</div>\n"
    )
}

fn article(report: &Report, columns: &[&Column], case: &CaseResult, picture: &Picture) -> String {
    let name = escape(&case.name);
    let headings: String =
        columns.iter().map(|c| format!("<th scope=\"col\">{}</th>", c.heading)).collect();
    let row = |(n, scores): (usize, &RegionResult)| {
        let cells = columns.iter().map(|column| cell((column.value)(scores), column.format, false));
        let cells = cells.collect::<String>();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", region_name(report, n))
    };
    let rows: String = case.regions.iter().enumerate().map(row).collect();
    let (width, height) = png_size(&picture.png).unwrap_or((1, 1));
    format!(
        "<article>\n<div><h3>{name} <small class=\"muted\">mean Dice {}</small></h3>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">region</th>{headings}</tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div></div>\n<figure><img width=\"{width}\" \
         height=\"{height}\" alt=\"{name}: scan, reference and prediction in three planes\" \
         src=\"data:image/png;base64,{}\">\n<figcaption class=\"caption\">{}</figcaption></figure>\n\
         </article>\n",
        case.dice().map_or(MISSING.into(), dice),
        BASE64_STANDARD.encode(&picture.png),
        escape(&picture.caption)
    )
}
