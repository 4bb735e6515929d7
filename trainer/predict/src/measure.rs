//! Makes the profile of an ensemble: every model alone on cases whose labels are known.

use std::path::Path;

use anyhow::{Result, ensure};
use burn::tensor::Device;
use model_core::metrics::dice;
use model_core::{Bundle, histograms};

use super::Predictor;
use super::members::ModelId;
use super::profile::{MAX_BYTES, Profile, Profiled};
use super::record::{MadeBy, sha256_of};
use super::settings::{Ensemble, Settings};
use trainer_data::data_set::{CaseFiles, LoadedCase};
use trainer_run::{files, progress};
use trainer_train::validate::RULE;

/// Measures models on cases and writes the profile to `out`, after every case: an interrupted
/// profile goes on where it was.
///
/// # Errors
/// When models cannot be selected among, `out` is the profile of others or by other settings, or a
/// case is bad, with its file.
pub fn measure(
    bundles: Vec<Bundle>,
    settings: &Settings,
    cases: &[CaseFiles],
    device: &Device,
    out: &Path,
) -> Result<Profile> {
    let config = bundles[0].card.preprocess.clone();
    let rules: Vec<_> = bundles.iter().map(|b| b.card.preprocess.foreground).collect();
    ensure!(
        rules.iter().all(|rule| *rule == config.foreground),
        "expected models of one foreground to select among, found {rules:?}"
    );
    let settings = Settings { ensemble: Ensemble::Mean, ..settings.clone() };
    let alone = |bundle| Predictor::of(vec![bundle], settings.clone(), None, device);
    let models: Vec<Predictor> = bundles.into_iter().map(alone).collect::<Result<_>>()?;
    let ids: Vec<ModelId> = models.iter().flat_map(Predictor::ids).collect();
    let mut profile = Profile::new(config.foreground, MadeBy::new(ids, &settings, None));
    if out.exists() {
        let bytes = files::read(out, MAX_BYTES)?;
        let found =
            Profile::parse(&bytes).map_err(|error| error.context(out.display().to_string()))?;
        let mut differences = found.made_by.differences(&profile.made_by);
        let (then, now) = (found.foreground, profile.foreground);
        if then != now {
            differences.push(format!("foreground: {then:?}, {now:?}"));
        }
        ensure!(
            differences.is_empty(),
            "expected --out to name a new file, or the profile of these models in this order by these \
             settings, found another (then, now): {} (in {})",
            differences.join("; "),
            out.display()
        );
        profile.cases = found.cases;
    }
    // Before hours of work: what cannot be written is told now.
    files::write(out, profile.to_json().as_bytes())?;
    let bar = progress::bar("profiling", cases.len() as u64);
    // Cases of another selection do not stay.
    profile.cases.retain(|known| cases.iter().any(|case| case.name == known.name));
    for case in cases {
        bar.set_message(case.name.clone());
        let known = profile.cases.iter().position(|known| known.name == case.name);
        let all: Vec<_> = case.images.iter().chain(&case.label).cloned().collect();
        let is_same = |n: &usize| Some(&profile.cases[*n].sha256) == sha256_of(&all).ok().as_ref();
        if known.filter(is_same).is_none() {
            if let Some(other) = known {
                profile.cases.remove(other);
            }
            profile.cases.push(profiled(case, &models)?);
            files::write(out, profile.to_json().as_bytes())?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    profile.is_complete = true;
    files::write(out, profile.to_json().as_bytes())?;
    Ok(profile)
}

fn profiled(case_files: &CaseFiles, models: &[Predictor]) -> Result<Profiled> {
    let tolerance_voxels = models[0].settings.tolerance_voxels;
    let LoadedCase { case, digest, .. } = case_files.read(models[0].task(), tolerance_voxels)?;
    let Some(reference) = &case.labels else {
        anyhow::bail!("expected labels, found none (case {})", case_files.name)
    };
    let dice_of = |model: &Predictor| -> Result<f64> {
        let labels = model.segment(&case, |_| {})?.labels.into_labels();
        let regions = &model.task().regions;
        let scores = regions.iter().map(|r| dice(&labels, reference.labels(), &r.labels, RULE));
        Ok(scores.sum::<f64>() / regions.len() as f64)
    };
    Ok(Profiled {
        name: case_files.name.clone(),
        sha256: hex::encode(digest),
        dice: models.iter().map(dice_of).collect::<Result<_>>()?,
        histograms: histograms(&case.channels, &models[0].members[0].bundle.card.preprocess)?,
    })
}
