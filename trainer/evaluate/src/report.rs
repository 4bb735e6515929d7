//! The printed report of an evaluation.

use model_core::metrics::{LESION_PENALTY_MM, LesionScores, MIN_LESION_MM3, Summary, Surface};

use super::{CaseScores, Evaluation, LESION_MEASURES, REGION_MEASURES};

mod cases;

/// The longest name in characters, so that the columns fit on a screen.
const MAX_NAME_CHARS: usize = 40;

impl Evaluation {
    /// Formats the report: the summary of each region, the cases with the lowest Dice, and the
    /// definitions of the scores.
    pub fn report(&self) -> String {
        let mut text = self.heading();
        match &self.cases[..] {
            [case] => text += &self.single_case(case),
            _ => text += &self.summary_table(),
        }
        text += &self.lesion_counts();
        if self.cases.len() > 1 {
            text += &self.lowest_cases();
        }
        text += &self.missing_predictions();
        self.warnings.iter().for_each(|warning| text += &format!("\n{warning}\n"));
        text + &self.definitions()
    }

    fn heading(&self) -> String {
        let task = self.task.as_ref().map_or(String::new(), |task| format!(" of {task}"));
        format!(
            "{}, {}{task}\n\n",
            count(self.cases.len(), "case"),
            count(self.regions.len(), "region")
        )
    }

    /// Formats the scores of the only case, with a line for each region.
    fn single_case(&self, case: &CaseScores) -> String {
        let width = self.region_width();
        let lesions = case.lesions.as_ref();
        let mut text = format!("{:width$}", shortened(&case.name));
        let lesion_titles = LESION_MEASURES.iter().map(|m| m.title).filter(|_| lesions.is_some());
        let titles = REGION_MEASURES.iter().map(|measure| measure.title).chain(lesion_titles);
        titles.for_each(|title| text += &format!("  {title:>8}"));
        for (n, region) in self.regions.iter().enumerate() {
            text += &format!("\n{:width$}", shortened(&region.name));
            let mut add = |value: f64, title: &str, digits: usize| {
                text += &format!("  {}", cell(value, digits, text_width(title).max(8)));
            };
            REGION_MEASURES.iter().for_each(|m| add((m.value)(&case.scores[n]), m.title, m.digits));
            if let Some(lesions) = lesions {
                LESION_MEASURES.iter().for_each(|m| add((m.value)(&lesions[n]), m.title, m.digits));
            }
        }
        if self.regions.len() > 1 {
            let mean = cell(self.mean_dice(), 4, 8);
            text += &format!("\n{:width$}  {mean}", "mean of the regions");
        }
        text + "\n"
    }

    fn region_width(&self) -> usize {
        let names = self.regions.iter().map(|region| &region.name[..]);
        column_width("mean of the regions", names)
    }

    fn summary_table(&self) -> String {
        let width = self.region_width();
        let mut text = format!(
            "{:width$}  {:14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
            "region", "", "mean", "median", "sd", "min", "max", "n"
        );
        for (n, region) in self.regions.iter().enumerate() {
            let mut name = shortened(&region.name);
            let mut row = |title: &str, digits: usize, summary: Summary| {
                let Summary { n, mean, median, deviation, min, max } = summary;
                let cells = [mean, median, deviation, min, max].map(|x| cell(x, digits, 9));
                text += &format!("{name:width$}  {title:14} {} {n:>6}\n", cells.join(" "));
                name.clear();
            };
            for measure in &REGION_MEASURES {
                row(measure.title, measure.digits, self.summary(n, measure));
            }
            for measure in &LESION_MEASURES {
                if let Some(summary) = self.lesion_summary(n, measure) {
                    row(measure.title, measure.digits, summary);
                }
            }
        }
        if self.regions.len() > 1 {
            let mean = cell(self.mean_dice(), 4, 9);
            text += &format!("{:width$}  {:14} {mean}\n", "mean of the regions", "Dice");
        }
        text
    }

    fn lesion_counts(&self) -> String {
        let mut text = String::new();
        for (n, region) in self.regions.iter().enumerate() {
            let lesions = self.cases.iter().filter_map(|case| Some(case.lesions.as_ref()?[n]));
            let lesions: Vec<LesionScores> = lesions.collect();
            if lesions.is_empty() {
                continue;
            }
            let sum = |count: fn(&LesionScores) -> usize| lesions.iter().map(count).sum::<usize>();
            text += &format!(
                "{}: {}, {} missed; {}; {} of at most {MIN_LESION_MM3} mm³ left out\n",
                region.name,
                count(sum(|l| l.num_lesions), "lesion"),
                sum(|l| l.num_missed),
                count(sum(|l| l.num_false_positives), "false positive"),
                sum(|l| l.num_small),
            );
        }
        if text.is_empty() { text } else { format!("\n{text}") }
    }

    fn missing_predictions(&self) -> String {
        let mut text = String::new();
        let num_worst = self.cases.iter().filter(|case| !case.has_prediction).count();
        if num_worst > 0 {
            text += &format!(
                "\n{} without a prediction, scored as the rule's worst\n",
                count(num_worst, "reference")
            );
        }
        if !self.skipped.is_empty() {
            text += &format!(
                "\n{} without a prediction, not scored: {}\n",
                count(self.skipped.len(), "reference"),
                self.skipped.join(", ")
            );
        }
        text
    }

    fn definitions(&self) -> String {
        let mut text = format!(
            "\nempty regions, rule {}: {}\nn: cases with a score; sd: standard deviation of a sample\n",
            self.rule.name(),
            self.rule.describe()
        );
        for (name, definition) in self.surface.definitions() {
            let tolerance =
                if name == "NSD" { format!(" at {} mm", self.tolerance_mm) } else { String::new() };
            text += &format!("{name}{tolerance}: {definition}\n");
        }
        if self.cases.iter().any(|case| case.lesions.is_some()) {
            text += &format!(
                "lesions: as BraTS 2023 (GLI), mean over lesions and false positives; a missed one \
                 counts Dice 0 and HD95 {LESION_PENALTY_MM} mm{}\n",
                if self.surface == Surface::Areas { "" } else { " (BraTS: --surface areas)" }
            );
        }
        text.trim_end().to_string()
    }
}

/// Formats a score. A missing score is a dash.
fn cell(value: f64, digits: usize, width: usize) -> String {
    if value.is_nan() { format!("{:>width$}", "-") } else { format!("{value:>width$.digits$}") }
}

/// Formats a number of things.
fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Shortens a name to [`MAX_NAME_CHARS`].
fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_string(),
    }
}

fn text_width(text: &str) -> usize {
    text.chars().count()
}

/// Returns the width of a column that holds a title and names.
fn column_width<'a>(title: &str, names: impl Iterator<Item = &'a str>) -> usize {
    names.map(|name| text_width(&shortened(name))).fold(text_width(title).max(6), usize::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::metrics::Scores;
    use model_core::{EmptyRule, Region};

    fn evaluation(num_regions: usize, num_cases: usize) -> Evaluation {
        let region = |n: usize| Region {
            name: format!("region {n}"),
            labels: vec![n as u8 + 1],
            writes: n as u8 + 1,
            color: [255; 3],
        };
        let case = |n: usize| CaseScores {
            name: format!("case {n}"),
            has_prediction: true,
            scores: (0..num_regions)
                .map(|region| Scores {
                    dice: if n == 1 { f64::NAN } else { 0.9 - 0.01 * (n + region) as f64 },
                    hd95_mm: 2.0,
                    hd_mm: 3.0,
                    nsd: 0.5,
                    predicted_ml: 1.0,
                    reference_ml: 1.0,
                })
                .collect(),
            lesions: None,
        };
        Evaluation {
            task: None,
            regions: (0..num_regions).map(region).collect(),
            rule: EmptyRule::Monai,
            tolerance_mm: 1.0,
            surface: Surface::Voxels,
            cases: (0..num_cases).map(case).collect(),
            skipped: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_lowest_cases_come_first_and_the_table_fits_on_a_screen() {
        for num_regions in [2, 20] {
            let report = evaluation(num_regions, 30).report();
            assert!(report.contains("lowest 10 of 30 cases") && !report.contains("case 19 "));
            let position = |name: &str| report.find(name).unwrap();
            assert!(position("case 29 ") < position("case 20 "), "{report}");
            let definitions = report.find("empty regions").unwrap();
            let widest = report[..definitions].lines().map(text_width).max().unwrap();
            assert!(widest <= 100, "{widest}\n{report}");
        }
        let report = evaluation(2, 3).report();
        // A case without a score comes last and is not counted.
        assert!(report.find("case 1 ").unwrap() > report.find("case 0 ").unwrap(), "{report}");
        assert!(report.lines().any(|l| l.contains("Dice") && l.ends_with("     2")), "{report}");
    }
}
