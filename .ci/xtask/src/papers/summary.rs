//! The tables of what was trained.

use super::runs::{Results, RunResult};
use super::tables::{Table, mean_and_deviation};
use super::variants::{DATA_SETS, VARIANTS};

/// The reversible networks that are trained from stored activations too.
const STORED: [(&str, &str); 3] = [
    ("mbconv-base", "mbconv-base-stored"),
    ("brugger-1-1", "brugger-1-1-stored"),
    ("partially-invres", "partially-invres-stored"),
];

/// Returns the tables of the trainings.
pub fn tables(results: &Results) -> Vec<Table> {
    let mut tables: Vec<Table> = DATA_SETS.iter().map(|set| networks(results, set.name)).collect();
    tables.push(stored(results));
    tables
}

fn column(runs: &[RunResult], value: impl Fn(&RunResult) -> f64) -> Vec<f64> {
    runs.iter().map(value).collect()
}

/// Returns the Dice of the validation after `tenths` of the training.
fn at(runs: &[RunResult], tenths: usize) -> Vec<f64> {
    runs.iter().filter_map(|run| run.curve.get(tenths - 1).copied()).collect()
}

/// Every network on one data set.
fn networks(results: &Results, set: &'static str) -> Table {
    let headings = [
        "network",
        "parameters",
        "multiply-adds, G",
        "s a step",
        "Dice after 1/10",
        "3/10",
        "1/2",
        "the end",
        "HD95, mm",
        "HD, mm",
        "n",
    ];
    let mut table = Table::new(set, &headings);
    for variant in &VARIANTS {
        let runs = results.of(set, variant.name);
        let Some(first) = runs.first() else { continue };
        let mut row = vec![
            format!("`{}`", variant.name),
            format!("{:.0}", first.parameters),
            format!("{:.2}", first.multiply_adds / 1e9),
            mean_and_deviation(&column(runs, |run| run.step_secs), 3),
        ];
        row.extend([1, 3, 5].map(|tenths| mean_and_deviation(&at(runs, tenths), 3)));
        row.push(mean_and_deviation(&column(runs, |run| run.scores[0]), 3));
        row.push(mean_and_deviation(&column(runs, |run| run.scores[1]), 2));
        row.push(mean_and_deviation(&column(runs, |run| run.scores[2]), 2));
        row.push(runs.len().to_string());
        table.row(row);
    }
    table
}

/// Reversible against stored, from the same weights.
fn stored(results: &Results) -> Table {
    let headings = [
        "data",
        "network",
        "Dice, reversible",
        "Dice, stored",
        "largest difference of the curves",
        "s a step, reversible : stored",
    ];
    let mut table = Table::new("stored", &headings);
    for set in &DATA_SETS {
        for (name, stored) in STORED {
            let (reversible, stored) = (results.of(set.name, name), results.of(set.name, stored));
            if reversible.is_empty() || stored.is_empty() {
                continue;
            }
            let pairs = || reversible.iter().zip(stored);
            let differences =
                pairs().flat_map(|(a, b)| a.curve.iter().zip(&b.curve)).map(|(a, b)| (a - b).abs());
            let ratios: Vec<f64> = pairs().map(|(a, b)| a.step_secs / b.step_secs).collect();
            table.row(vec![
                set.name.into(),
                format!("`{name}`"),
                mean_and_deviation(&column(reversible, |run| run.scores[0]), 3),
                mean_and_deviation(&column(stored, |run| run.scores[0]), 3),
                format!("{:.4}", differences.fold(0.0, f64::max)),
                mean_and_deviation(&ratios, 2),
            ]);
        }
    }
    table
}
