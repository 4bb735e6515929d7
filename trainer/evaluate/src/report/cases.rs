//! The cases that a person should look at first.

use model_core::metrics::Summary;

use super::{cell, count, cut, length, width};
use crate::{CaseScores, Evaluation};

/// So many cases are shown all; of more, the lowest so many.
const SHOWN: (usize, usize) = (20, 10);

/// With more regions than this a case's line tells the lowest one alone.
const MAX_COLUMNS: usize = 4;

impl Evaluation {
    /// The cases with the lowest Dice, or all of a few.
    pub(super) fn lowest_cases(&self) -> String {
        let mut cases: Vec<&CaseScores> = self.cases.iter().collect();
        cases.sort_by(|a, b| mean_dice(a).total_cmp(&mean_dice(b)));
        let shown = if cases.len() <= SHOWN.0 { cases.len() } else { SHOWN.1 };
        let mut text = match shown == cases.len() {
            true => "\nThe cases, the lowest Dice first:\n".to_string(),
            false => {
                format!("\nThe lowest {shown} of {} (--csv has all):\n", count(cases.len(), "case"))
            }
        };
        let cases = &cases[..shown];
        text += &match self.regions.len() <= MAX_COLUMNS {
            true => self.cases_by_region(cases),
            false => self.cases_by_lowest_region(cases),
        };
        text
    }

    /// A column of each region.
    fn cases_by_region(&self, cases: &[&CaseScores]) -> String {
        let width = width("", cases.iter().map(|case| &case.name[..]));
        let titles: Vec<String> = self.regions.iter().map(|region| cut(&region.name)).collect();
        let columns: Vec<usize> = titles.iter().map(|title| length(title).max(15)).collect();
        let mut text = " ".repeat(width);
        for (title, column) in titles.iter().zip(&columns) {
            text += &format!("  {title:>column$}");
        }
        text += &format!("\n{:width$}", "case");
        for column in &columns {
            text += &format!("  {:>rest$} {:>8}", "Dice", "HD95 mm", rest = column - 9);
        }
        for case in cases {
            text += &format!("\n{:width$}", cut(&case.name));
            for (scores, column) in case.scores.iter().zip(&columns) {
                let (dice, hd95) = (cell(scores.dice, 4, column - 9), cell(scores.hd95_mm, 2, 8));
                text += &format!("  {dice} {hd95}");
            }
            text += no_prediction(case);
        }
        text + "\n"
    }

    /// The mean Dice, and the region with the lowest.
    fn cases_by_lowest_region(&self, cases: &[&CaseScores]) -> String {
        let width = width("", cases.iter().map(|case| &case.name[..]));
        let mut text = format!(
            "{:width$}  {:>9}  {:>9} {:>8}  {}",
            "case", "mean Dice", "lowest", "HD95 mm", "of region"
        );
        for case in cases {
            let scored = case.scores.iter().zip(&self.regions).filter(|(s, _)| !s.dice.is_nan());
            let lowest = scored.min_by(|(a, _), (b, _)| a.dice.total_cmp(&b.dice));
            let (dice, hd95_mm, region) = match lowest {
                Some((scores, region)) => (scores.dice, scores.hd95_mm, cut(&region.name)),
                None => (f64::NAN, f64::NAN, String::new()),
            };
            let numbers = [cell(mean_dice(case), 4, 9), cell(dice, 4, 9)].join("  ");
            let name = cut(&case.name);
            text += &format!("\n{name:width$}  {numbers} {}  {region}", cell(hd95_mm, 2, 8));
            text += no_prediction(case);
        }
        text + "\n"
    }
}

fn no_prediction(case: &CaseScores) -> &'static str {
    if case.has_prediction { "" } else { "  no prediction" }
}

/// Over the regions that have a score; a case without any stands last.
fn mean_dice(case: &CaseScores) -> f64 {
    let dice = case.scores.iter().map(|scores| scores.dice).collect::<Vec<f64>>();
    // A NaN may come with a minus, and would stand first.
    Summary::from_scores(&dice).mean.abs()
}
