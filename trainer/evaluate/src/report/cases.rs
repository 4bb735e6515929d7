//! The cases with the lowest scores, which should be looked at first.

use model_core::metrics::Summary;

use super::{cell, column_width, count, shortened, text_width};
use crate::{CaseScores, Evaluation};

/// Up to this number, all cases are listed.
const MAX_ALL_CASES: usize = 20;

/// The number of listed cases if there are more than [`MAX_ALL_CASES`].
const NUM_LOWEST_CASES: usize = 10;

/// With more regions, a case's line shows only the region with the lowest Dice.
const MAX_REGION_COLUMNS: usize = 4;

impl Evaluation {
    /// Lists the cases with the lowest Dice, or all cases if there are few.
    pub(super) fn lowest_cases(&self) -> String {
        let mut cases: Vec<&CaseScores> = self.cases.iter().collect();
        cases.sort_by(|a, b| mean_dice(a).total_cmp(&mean_dice(b)));
        let shown = if cases.len() <= MAX_ALL_CASES { cases.len() } else { NUM_LOWEST_CASES };
        let mut text = match shown == cases.len() {
            true => "\nThe cases, the lowest Dice first:\n".to_string(),
            false => {
                format!("\nThe lowest {shown} of {} (--csv has all):\n", count(cases.len(), "case"))
            }
        };
        let cases = &cases[..shown];
        text += &match self.regions.len() <= MAX_REGION_COLUMNS {
            true => self.cases_by_region(cases),
            false => self.cases_by_lowest_region(cases),
        };
        text
    }

    /// Formats the cases with a column for each region.
    fn cases_by_region(&self, cases: &[&CaseScores]) -> String {
        let width = column_width("", cases.iter().map(|case| &case.name[..]));
        let titles: Vec<String> =
            self.regions.iter().map(|region| shortened(&region.name)).collect();
        let columns: Vec<usize> = titles.iter().map(|title| text_width(title).max(15)).collect();
        let mut text = " ".repeat(width);
        for (title, column) in titles.iter().zip(&columns) {
            text += &format!("  {title:>column$}");
        }
        text += &format!("\n{:width$}", "case");
        for column in &columns {
            text += &format!("  {:>rest$} {:>8}", "Dice", "HD95 mm", rest = column - 9);
        }
        for case in cases {
            text += &format!("\n{:width$}", shortened(&case.name));
            for (scores, column) in case.scores.iter().zip(&columns) {
                let (dice, hd95) = (cell(scores.dice, 4, column - 9), cell(scores.hd95_mm, 2, 8));
                text += &format!("  {dice} {hd95}");
            }
            text += missing_note(case);
        }
        text + "\n"
    }

    /// Formats the cases with their mean Dice and the region with the lowest Dice.
    fn cases_by_lowest_region(&self, cases: &[&CaseScores]) -> String {
        let width = column_width("", cases.iter().map(|case| &case.name[..]));
        let mut text = format!(
            "{:width$}  {:>9}  {:>9} {:>8}  {}",
            "case", "mean Dice", "lowest", "HD95 mm", "of region"
        );
        for case in cases {
            let scored = case.scores.iter().zip(&self.regions).filter(|(s, _)| !s.dice.is_nan());
            let lowest = scored.min_by(|(a, _), (b, _)| a.dice.total_cmp(&b.dice));
            let (dice, hd95_mm, region) = match lowest {
                Some((scores, region)) => (scores.dice, scores.hd95_mm, shortened(&region.name)),
                None => (f64::NAN, f64::NAN, String::new()),
            };
            let numbers = [cell(mean_dice(case), 4, 9), cell(dice, 4, 9)].join("  ");
            let name = shortened(&case.name);
            text += &format!("\n{name:width$}  {numbers} {}  {region}", cell(hd95_mm, 2, 8));
            text += missing_note(case);
        }
        text + "\n"
    }
}

fn missing_note(case: &CaseScores) -> &'static str {
    if case.has_prediction { "" } else { "  no prediction" }
}

/// Returns the mean Dice of the regions with a score. NaN, for a case without a score, sorts last.
fn mean_dice(case: &CaseScores) -> f64 {
    let dice = case.scores.iter().map(|scores| scores.dice).collect::<Vec<f64>>();
    // A negative NaN would sort first.
    Summary::from_scores(&dice).mean.abs()
}
