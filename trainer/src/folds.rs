//! What the folds of a cross-validation measured, for the card of a model that was trained with the
//! same settings on all cases.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use model_core::metrics::{Calibration, OddsCounts, Summary};
use model_core::{Card, Score};
use trainer_report::{HeldOut, RegionResult};
use trainer_run::cross_validation;
use trainer_run::run_folder::Run;

/// Writes the scores and the calibration of all folds below `folder` into a card. Scores are over the
/// cases whose reference has at least `least_ml` of the region.
///
/// # Errors
/// Errors if a fold is missing or has not ended, or if it is of another task.
pub fn describe(card: &mut Card, folder: &Path, least_ml: f64) -> Result<()> {
    let folds = cross_validation::folders(folder);
    ensure!(
        folds.len() > 1,
        "expected the folds of a cross-validation in {}, found {} of them",
        folder.display(),
        folds.len()
    );
    let mut held_out = Vec::new();
    for fold in &folds {
        let run = Run::read(fold)?;
        ensure!(
            run.task == card.task && run.config.folds == folds.len(),
            "expected {} folds of the model's task {}, found {} of {} in {}",
            folds.len(),
            card.task.name,
            run.config.folds,
            run.task.name,
            fold.display()
        );
        let of_fold = HeldOut::find(fold, &card.task)?;
        held_out.push(of_fold.with_context(|| {
            format!("expected the end of the training in {}, found none", fold.display())
        })?);
    }
    let cases = || held_out.iter().flat_map(|fold| &fold.cases);
    let finite = |value: f64| value.is_finite().then_some(value);
    // A region without a scored case has no score.
    let score = |(n, region): (usize, &model_core::Region)| {
        let scored = || {
            let results = cases().map(move |case| &case.regions[n]);
            results.filter(|region| region.reference_ml >= least_ml)
        };
        let summary = |score: fn(&RegionResult) -> Option<f64>| {
            let scores: Vec<f64> = scored().map(|r| score(r).unwrap_or(f64::NAN)).collect();
            Summary::from_scores(&scores)
        };
        let dice = summary(|region| region.dice);
        (dice.n > 0).then(|| Score {
            region: region.name.clone(),
            dice: dice.mean,
            dice_deviation: finite(dice.deviation),
            hd95_mm: finite(summary(|region| region.hd95_mm).median),
            n: dice.n,
        })
    };
    let scores = card.task.regions.iter().enumerate().filter_map(score).collect();
    let mut odds = vec![OddsCounts::default(); card.task.regions.len()];
    for fold in &held_out {
        odds.iter_mut().zip(&fold.odds).for_each(|(sum, counts)| sum.merge(counts));
    }
    card.calibration = Calibration::fit(&odds, cases().count());
    card.provenance.held_out = scores;
    card.provenance.folds = folds.len();
    card.provenance.chosen_by_held_out = held_out.iter().any(|fold| fold.chose_weights);
    Ok(())
}
