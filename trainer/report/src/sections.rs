//! The report's sections. Each is a function from the report to HTML, which returns `None` if the
//! report lacks the section.

use super::escape::escape;
use super::report::Report;

mod calibration;
mod cases;
mod curves;
mod result;
mod settings;

pub(super) use calibration::calibration;
pub(super) use cases::{cases, training_case, worst};
pub(super) use curves::curves;
pub(super) use result::result;
pub(super) use settings::{data, machine, title, training};

/// The text for a missing number.
const MISSING: &str = "–";

/// Formats a region's name after a swatch of its color.
fn region_name(report: &Report, n: usize) -> String {
    let name = escape(&report.run.task.regions[n].name);
    format!("<span class=\"swatch r{n}\"></span>{name}")
}

/// Returns the kind of the scored cases: "held-out" or "training".
fn case_kind(report: &Report) -> &'static str {
    match &report.held_out {
        Some(held_out) if held_out.are_training_cases => "training",
        None if report.run.held_out.is_empty() => "training",
        _ => "held-out",
    }
}

/// Formats a Dice.
fn dice(value: f64) -> String {
    number(value, 3)
}

/// Formats a number, or [`MISSING`] if it is not finite.
fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return MISSING.into();
    }
    let text = format!("{value:.decimals$}");
    // A number that rounds to 0 has no sign.
    let is_zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
    if is_zero { text.replace('-', "") } else { text }
}

/// Formats a volume.
fn ml(value: f64) -> String {
    number(value, if value.abs() < 10.0 { 2 } else { 1 })
}

/// Formats a list of names and values. The values are HTML; entries without a value are left out.
fn list(entries: &[(&str, Option<String>)]) -> String {
    let entry = |(name, value): &(&str, Option<String>)| {
        Some(format!("<dt>{name}</dt><dd>{}</dd>\n", value.as_ref()?))
    };
    format!("<dl>\n{}</dl>\n", entries.iter().filter_map(entry).collect::<String>())
}

/// Formats a number of things.
fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
