//! An evaluation as text for a person.

use model_core::metrics::{LESION_PENALTY_MM, LesionScores, MIN_LESION_MM3, Summary, Surface};

use super::{CaseScores, Evaluation, LESION_MEASURES, MEASURES};

/// So many cases are shown all; of more, the lowest so many.
const SHOWN: (usize, usize) = (20, 10);

/// Names are cut to this many characters, so that columns stay on a screen.
const MAX_NAME: usize = 40;

impl Evaluation {
    /// The report as text: the summary of each region, the cases with the lowest Dice, and what the
    /// numbers mean.
    pub fn report(&self) -> String {
        let mut text = self.head();
        match &self.cases[..] {
            [case] => text += &self.only_case(case),
            _ => text += &self.summary_table(),
        }
        text += &self.lesion_counts();
        if self.cases.len() > 1 {
            text += &self.lowest_cases();
        }
        text += &self.missing();
        text + &self.meanings()
    }

    fn head(&self) -> String {
        let task = self.task.as_ref().map_or(String::new(), |task| format!(" of {task}"));
        format!(
            "{}, {}{task}\n\n",
            count(self.cases.len(), "case"),
            count(self.regions.len(), "region")
        )
    }

    /// A case's scores, a line for each region.
    fn only_case(&self, case: &CaseScores) -> String {
        let width = self.region_width();
        let lesions = case.lesions.as_ref();
        let mut text = format!("{:width$}", cut(&case.name));
        let of_lesions = LESION_MEASURES.iter().map(|m| m.title).filter(|_| lesions.is_some());
        let titles = MEASURES.iter().map(|measure| measure.title).chain(of_lesions);
        titles.for_each(|title| text += &format!("  {title:>8}"));
        for (n, region) in self.regions.iter().enumerate() {
            text += &format!("\n{:width$}", cut(&region.name));
            let mut add = |value: f64, title: &str, digits: usize| {
                text += &format!("  {}", cell(value, digits, length(title).max(8)));
            };
            MEASURES.iter().for_each(|m| add((m.of)(&case.scores[n]), m.title, m.digits));
            if let Some(lesions) = lesions {
                LESION_MEASURES.iter().for_each(|m| add((m.of)(&lesions[n]), m.title, m.digits));
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
        width("mean of the regions", names)
    }

    fn summary_table(&self) -> String {
        let width = self.region_width();
        let mut text = format!(
            "{:width$}  {:14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
            "region", "", "mean", "median", "sd", "min", "max", "n"
        );
        for (n, region) in self.regions.iter().enumerate() {
            let mut name = cut(&region.name);
            let mut row = |title: &str, digits: usize, summary: Summary| {
                let Summary { n, mean, median, deviation, least, most } = summary;
                let cells = [mean, median, deviation, least, most].map(|x| cell(x, digits, 9));
                text += &format!("{name:width$}  {title:14} {} {n:>6}\n", cells.join(" "));
                name.clear();
            };
            for measure in &MEASURES {
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
            let sum = |of: fn(&LesionScores) -> usize| lesions.iter().map(of).sum::<usize>();
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

    fn lowest_cases(&self) -> String {
        let mut cases: Vec<&CaseScores> = self.cases.iter().collect();
        cases.sort_by(|a, b| mean_dice(a).total_cmp(&mean_dice(b)));
        let shown = if cases.len() <= SHOWN.0 { cases.len() } else { SHOWN.1 };
        let mut text = match shown == cases.len() {
            true => "\nThe cases, the lowest Dice first:\n".to_string(),
            false => {
                format!("\nThe lowest {shown} of {} (--csv has all):\n", count(cases.len(), "case"))
            }
        };
        let width = width("", cases[..shown].iter().map(|case| &case.name[..]));
        let titles: Vec<String> = self.regions.iter().map(|region| cut(&region.name)).collect();
        let columns: Vec<usize> = titles.iter().map(|title| length(title).max(15)).collect();
        text += &" ".repeat(width);
        titles
            .iter()
            .zip(&columns)
            .for_each(|(title, column)| text += &format!("  {title:>column$}"));
        text += &format!("\n{:width$}", "case");
        columns.iter().for_each(|&column| {
            text += &format!("  {:>rest$} {:>8}", "Dice", "HD95 mm", rest = column - 9);
        });
        for case in &cases[..shown] {
            text += &format!("\n{:width$}", cut(&case.name));
            for (scores, column) in case.scores.iter().zip(&columns) {
                let (dice, hd95) = (cell(scores.dice, 4, column - 9), cell(scores.hd95_mm, 2, 8));
                text += &format!("  {dice} {hd95}");
            }
            if !case.has_prediction {
                text += "  no prediction";
            }
        }
        text + "\n"
    }

    fn missing(&self) -> String {
        let mut text = String::new();
        let worst = self.cases.iter().filter(|case| !case.has_prediction).count();
        if worst > 0 {
            text += &format!(
                "\n{} without a prediction, scored as the rule's worst\n",
                count(worst, "reference")
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

    fn meanings(&self) -> String {
        let mut text = format!(
            "\nempty regions, rule {}: {}\nn: cases with a score; sd: standard deviation of a sample\n",
            self.rule.name(),
            self.rule.describe()
        );
        for (name, meaning) in self.surface.definitions() {
            let at =
                if name == "NSD" { format!(" at {} mm", self.tolerance_mm) } else { String::new() };
            text += &format!("{name}{at}: {meaning}\n");
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

/// Over the regions that have a score; a case without any stands last.
fn mean_dice(case: &CaseScores) -> f64 {
    let dice = case.scores.iter().map(|scores| scores.dice).collect::<Vec<f64>>();
    // A NaN may come with a minus, and would stand first.
    Summary::of(&dice).mean.abs()
}

fn cell(value: f64, digits: usize, width: usize) -> String {
    if value.is_nan() { format!("{:>width$}", "-") } else { format!("{value:>width$.digits$}") }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn cut(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_string(),
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Of a column that holds these names.
fn width<'a>(least: &str, names: impl Iterator<Item = &'a str>) -> usize {
    names.map(|name| length(&cut(name))).fold(length(least).max(6), usize::max)
}
