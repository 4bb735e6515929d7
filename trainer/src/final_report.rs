//! Writes the scores and the report at the end of a training.

use anyhow::Result;
use model_core::Task;
use model_core::metrics::{Calibration, OddsCounts, Settings};
use trainer_report::{
    Collector, GrayImage, HeldOut, NUM_PICTURES, PicturedCase, REPORT, pictured_channel,
};
use trainer_run::files;
use trainer_run::run_folder::BEST;
use trainer_train::train::{FinishedRun, MeasuredCase};
use trainer_train::validate::RULE;

/// Scores the best weights on every measured case, writes `held_out.json` and `report.html`, and
/// stores the calibration in the bundle, unless all are up to date. Returns whether they were written
/// before the training was asked to stop.
///
/// # Errors
/// Errors if a case can no longer be read, or the folder cannot be written to.
pub fn write(finished: &FinishedRun) -> Result<bool> {
    let (out, run, provenance) = (finished.out(), finished.run(), &finished.bundle.card.provenance);
    let task = &run.task;
    // A file that cannot be read is written again.
    let written = HeldOut::find(out, task).ok().flatten();
    let is_current = written.is_some_and(|written| written.steps == provenance.steps);
    if is_current && out.join(REPORT).exists() {
        return Ok(true);
    }
    let settings = Settings { rule: RULE, ..Settings::default() };
    let mut collector = Collector::new(task, settings, NUM_PICTURES);
    let are_training_cases = run.held_out.is_empty();
    let num_counted = if are_training_cases { 0 } else { task.regions.len() };
    let mut odds = vec![OddsCounts::default(); num_counted];
    let is_complete = finished.segment(|measured| {
        if !are_training_cases {
            measured.count_odds(&mut odds);
        }
        add(&mut collector, &measured, task)
    })?;
    if !is_complete {
        return Ok(false);
    }
    let (cases, pictures) = collector.finish();
    let training = match are_training_cases {
        true => None,
        false => {
            let mut collector = Collector::new(task, settings, 1);
            add(&mut collector, &finished.segment_training_case()?, task)?;
            let (mut cases, mut pictures) = collector.finish();
            // A case without a Dice has no picture.
            pictures.pop().zip(cases.pop()).map(|(picture, case)| PicturedCase { case, picture })
        }
    };
    let held_out = HeldOut {
        version: trainer_report::VERSION,
        steps: provenance.steps,
        are_training_cases,
        chose_weights: provenance.chosen_by_held_out,
        empty_rule: RULE.name().into(),
        nsd_tolerance_mm: Some(settings.tolerance_mm),
        device: finished.device_name(),
        peak_bytes: finished.peak_bytes(),
        cases,
        odds,
        pictures,
        training,
    };
    let mut bundle = finished.bundle.clone();
    bundle.card.calibration = match are_training_cases {
        true => None,
        false => Calibration::fit(&held_out.odds, held_out.cases.len()),
    };
    files::write(&out.join(BEST), &bundle.to_bytes()?)?;
    held_out.save(out)?;
    trainer_report::write(out, None)?;
    Ok(true)
}

fn add(collector: &mut Collector, measured: &MeasuredCase, task: &Task) -> Result<()> {
    let MeasuredCase { name, case, reference, predicted, .. } = measured;
    let scan = || Ok(GrayImage::from_input(&case.input, pictured_channel(task), &case.placement));
    collector.add(name, reference, predicted, scan)
}
