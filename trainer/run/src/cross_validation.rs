//! The folds of a cross-validation: their folders and their summary.

use std::path::{Path, PathBuf};

use anyhow::Result;
use model_core::metrics::Summary;

use crate::run_folder;

/// Returns the run folder of a fold.
pub fn folder(out: &Path, fold: usize) -> PathBuf {
    out.join(format!("fold-{fold}"))
}

/// Lists the folders of the folds below `out`, in order; empty without a cross-validation.
pub fn folders(out: &Path) -> Vec<PathBuf> {
    (0..).map(|fold| folder(out, fold)).take_while(|folder| folder.is_dir()).collect()
}

/// Returns a table of each region's Dice in every fold and over the folds.
///
/// # Errors
/// Errors if a fold has no validated model.
pub fn summary(out: &Path, folds: usize) -> Result<String> {
    let mut text = String::from("held-out Dice of the cross-validation\nregion");
    let (mut by_fold, mut are_chosen) = (Vec::new(), false);
    for fold in 0..folds {
        text += &format!("\tfold {fold}");
        let provenance = run_folder::read_bundle(&folder(out, fold))?.card.provenance;
        are_chosen |= provenance.chosen_by_held_out;
        by_fold.push(provenance.held_out);
    }
    text += "\tmean\tstandard deviation\tn";
    for (number, region) in by_fold[0].iter().enumerate() {
        let scores: Vec<f64> = by_fold.iter().map(|scores| scores[number].dice).collect();
        let n: usize = by_fold.iter().map(|scores| scores[number].n).sum();
        text += &format!("\n{}", region.region);
        scores.iter().for_each(|dice| text += &format!("\t{dice:.4}"));
        let Summary { mean, deviation, .. } = Summary::from_scores(&scores);
        text += &format!("\t{mean:.4}\t{deviation:.4}\t{n}");
    }
    if are_chosen {
        text += "\n(each fold's weights were chosen by its own held-out cases)";
    }
    Ok(text)
}
