//! The report's sections, each a function from the report to HTML; an empty text leaves it out.

use super::Report;
use super::html::escape;

mod cases;
mod curves;
mod result;
mod settings;

pub(super) use cases::{cases, worst};
pub(super) use curves::curves;
pub(super) use result::result;
pub(super) use settings::{data, machine, title, training};

/// Absence of a number.
const NONE: &str = "–";

/// A region's name after a mark of its color.
fn region(report: &Report, n: usize) -> String {
    let name = escape(&report.run.task.regions[n].name);
    format!("<span class=\"swatch r{n}\"></span>{name}")
}

/// What the scored cases are.
fn whose(report: &Report) -> &'static str {
    match &report.held_out {
        Some(held_out) if held_out.are_training_cases => "training",
        None if report.run.held_out.is_empty() => "training",
        _ => "held-out",
    }
}

fn dice(value: f64) -> String {
    number(value, 3)
}

fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    let text = format!("{value:.decimals$}");
    // What rounds to nothing has no sign.
    let is_nothing = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
    if is_nothing { text.replace('-', "") } else { text }
}

fn ml(value: f64) -> String {
    number(value, if value.abs() < 10.0 { 2 } else { 1 })
}

/// A list of names and values; the values are HTML.
fn list(entries: &[(&str, String)]) -> String {
    let entry = |(name, value): &(&str, String)| format!("<dt>{name}</dt><dd>{value}</dd>\n");
    let filled = entries.iter().filter(|(_, value)| !value.is_empty());
    format!("<dl>\n{}</dl>\n", filled.map(entry).collect::<String>())
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
