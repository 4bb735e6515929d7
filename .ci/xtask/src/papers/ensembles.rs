//! Three networks that differ in their initial weights, alone and as ensembles (Pendse et al. 2020).

use anyhow::{Context, Result};

use super::measured::Measured;
use super::runs::Results;
use super::tables::{Table, mean_and_deviation};
use super::variants::{DataSet, VARIANTS};

/// The networks of an ensemble.
pub const MEMBERS: u64 = 3;

/// The network of every member.
const NETWORK: &str = "mbconv-base";

/// What `rewind predict --ensemble` offers.
const KINDS: [&str; 3] = ["mean", "similarity", "literal"];

/// Dice, HD95 and HD of every member alone, then of every kind of ensemble.
pub type Scores = Vec<(String, [f64; 3])>;

/// Returns the name of a data set's ensembles among what was measured.
fn key(set: &DataSet) -> String {
    format!("{}, ensembles", set.name)
}

/// Returns what was measured before.
///
/// # Errors
/// If the file cannot be used.
pub fn find(measured: &Measured, set: &DataSet) -> Result<Option<Scores>> {
    measured.get(&key(set)).map(|found| Ok(serde_json::from_value(found.clone())?)).transpose()
}

/// Measures the members and the ensembles on the held-out cases. The profiles are of the training
/// cases, as in the paper.
///
/// # Errors
/// If a command fails.
pub fn measure(results: &Results, measured: &mut Measured, set: &DataSet) -> Result<()> {
    let network = VARIANTS.iter().find(|variant| variant.name == NETWORK).expect("a variant");
    let runs = (1..=MEMBERS).map(|seed| results.train(set, network, seed));
    let runs: Vec<_> = runs.collect::<Result<_>>()?;
    let profile = results.profile(set, &runs)?;
    let profile = profile.to_str().context("expected a path in UTF-8")?;
    let mut scores = Scores::new();
    for (n, model) in runs.iter().enumerate() {
        let alone = results.held_out_scores(set, std::slice::from_ref(model), &[])?;
        scores.push((format!("network {}", n + 1), alone));
    }
    for kind in KINDS {
        let options = ["--ensemble", kind, "--profile", profile];
        let options = if kind == "mean" { &options[..2] } else { &options };
        scores.push((kind.into(), results.held_out_scores(set, &runs, options)?));
    }
    measured.insert(key(set), serde_json::to_value(scores)?)
}

/// Returns the table of all data sets.
pub fn table(measured: &[(&str, Scores)]) -> Table {
    let mut table = Table::new("ensembles", &["data", "", "Dice", "HD95, mm", "HD, mm"]);
    for (set, scores) in measured {
        let (alone, ensembles): (Vec<_>, Vec<_>) =
            scores.iter().partition(|(name, _)| name.starts_with("network"));
        let of = |n: usize| alone.iter().map(|(_, scores)| scores[n]).collect::<Vec<f64>>();
        table.row(vec![
            set.to_string(),
            "one network, mean of three".into(),
            mean_and_deviation(&of(0), 3),
            mean_and_deviation(&of(1), 2),
            mean_and_deviation(&of(2), 2),
        ]);
        for (name, [dice, hd95_mm, hd_mm]) in ensembles {
            table.row(vec![
                set.to_string(),
                format!("`{name}`"),
                format!("{dice:.3}"),
                format!("{hd95_mm:.2}"),
                format!("{hd_mm:.2}"),
            ]);
        }
    }
    table
}
