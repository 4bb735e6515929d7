//! Makes the profile of an ensemble: runs each model by itself on cases with known labels.

use std::path::Path;

use anyhow::{Result, ensure};
use burn::tensor::Device;
use model_core::metrics::dice;
use model_core::{Bundle, histograms};

use super::Predictor;
use super::members::ModelId;
use super::profile::{MAX_BYTES, Profile, ProfiledCase};
use super::record::{MadeBy, sha256_of};
use super::settings::{Ensemble, Settings};
use trainer_data::data_set::{CaseFiles, LoadedCase};
use trainer_run::files;
use trainer_run::reporter::Reporter;
use trainer_train::validate::RULE;

/// Measures models on cases. Writes the profile to `out` after each case, and continues an
/// interrupted profile.
///
/// # Errors
/// Errors if the models have different foregrounds, if `out` is the profile of other models or
/// settings, or with the file of a case that cannot be used.
pub fn profile_models(
    bundles: Vec<Bundle>,
    settings: &Settings,
    cases: &[CaseFiles],
    device: &Device,
    out: &Path,
    reporter: &dyn Reporter,
) -> Result<Profile> {
    let config = bundles[0].card.preprocess.clone();
    let foregrounds: Vec<_> = bundles.iter().map(|b| b.card.preprocess.foreground).collect();
    ensure!(
        foregrounds.iter().all(|foreground| *foreground == config.foreground),
        "expected models of one foreground to select among, found {foregrounds:?}"
    );
    let settings = Settings { ensemble: Ensemble::Mean, ..settings.clone() };
    let single = |bundle| Predictor::ensemble(vec![bundle], settings.clone(), None, device);
    let models: Vec<Predictor> = bundles.into_iter().map(single).collect::<Result<_>>()?;
    let ids: Vec<ModelId> = models.iter().flat_map(Predictor::ids).collect();
    let mut profile = Profile::new(config.foreground, MadeBy::new(ids, &settings, None));
    if out.exists() {
        profile.cases = read_same_profile(out, &profile)?.cases;
    }
    // Written before hours of work, so that an unwritable file is reported now.
    files::write(out, profile.to_json().as_bytes())?;
    let progress = reporter.start_task("profiling", Some(cases.len() as u64));
    // Drops the cases of another selection.
    profile.cases.retain(|profiled| cases.iter().any(|case| case.name == profiled.name));
    for case in cases {
        progress.describe_item(&case.name);
        let known = profile.cases.iter().position(|profiled| profiled.name == case.name);
        let all: Vec<_> = case.images.iter().chain(&case.label).cloned().collect();
        let is_same = |n: &usize| Some(&profile.cases[*n].sha256) == sha256_of(&all).ok().as_ref();
        if known.filter(is_same).is_none() {
            if let Some(outdated) = known {
                profile.cases.remove(outdated);
            }
            profile.cases.push(profile_case(case, &models)?);
            files::write(out, profile.to_json().as_bytes())?;
        }
        progress.advance();
    }
    profile.is_complete = true;
    files::write(out, profile.to_json().as_bytes())?;
    Ok(profile)
}

/// Reads an existing profile.
///
/// # Errors
/// Errors if the models or settings differ from those of `profile`.
fn read_same_profile(out: &Path, profile: &Profile) -> Result<Profile> {
    let bytes = files::read(out, MAX_BYTES)?;
    let existing =
        Profile::parse(&bytes).map_err(|error| error.context(out.display().to_string()))?;
    let mut differences = existing.made_by.differences(&profile.made_by);
    let (then, now) = (existing.foreground, profile.foreground);
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
    Ok(existing)
}

fn profile_case(case_files: &CaseFiles, models: &[Predictor]) -> Result<ProfiledCase> {
    let tolerance_voxels = models[0].settings.tolerance_voxels;
    let LoadedCase { case, digest, .. } = case_files.read(models[0].task(), tolerance_voxels)?;
    let Some(reference) = case.labels() else {
        anyhow::bail!("expected labels, found none (case {})", case_files.name)
    };
    let mean_dice = |model: &Predictor| -> Result<f64> {
        let labels = model.segment(&case, |_| {})?.labels.into_labels();
        let regions = &model.task().regions;
        let scores = regions.iter().map(|r| dice(&labels, reference.labels(), &r.labels, RULE));
        Ok(scores.sum::<f64>() / regions.len() as f64)
    };
    Ok(ProfiledCase {
        name: case_files.name.clone(),
        sha256: hex::encode(digest),
        dice: models.iter().map(mean_dice).collect::<Result<_>>()?,
        histograms: histograms(case.channels(), &models[0].members[0].bundle.card.preprocess)?,
    })
}
