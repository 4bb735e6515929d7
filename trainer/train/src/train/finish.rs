//! Last step of training: the best weights on every measured case, and the report.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use burn::tensor::Device;
use indicatif::ProgressBar;
use model_core::metrics::Settings;
use model_core::postprocess;

use crate::validate::RULE;
use crate::{device as devices, memory, model};
use trainer_data::cases::Cases;
use trainer_report::{Collector, Gray, HELD_OUT, HeldOut, NUM_PICTURES, REPORT, channel};
use trainer_run::run_folder::{Run, read_bundle};

/// Measures the best weights on these cases by all scores, and writes `held_out.json` and
/// `report.html`, unless they are there already; whether it came to its end before `stop` was set.
///
/// # Errors
/// When a case or the best weights can no longer be read, or the folder cannot be written to.
pub(super) fn finish(
    out: &Path,
    run: &Run,
    cases: &Cases,
    measured: &[usize],
    device: &Device,
    stop: &AtomicBool,
    bar: &ProgressBar,
) -> Result<bool> {
    let bundle = read_bundle(out)?;
    let (task, steps) = (&run.task, bundle.card.provenance.steps);
    // A file that cannot be read is made again.
    let done = HeldOut::find(out, task).ok().flatten();
    if done.is_some_and(|done| done.steps == steps) && out.join(REPORT).exists() {
        return Ok(true);
    }
    let network = model::build(&bundle.card.network, &bundle.weights, device)?;
    let settings = Settings { rule: RULE, ..Settings::default() };
    let mut collector = Collector::new(task, settings, NUM_PICTURES);
    for (done, &number) in measured.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        bar.set_message(format!("the best weights on case {} of {}", done + 1, measured.len()));
        let reference = cases.reference(number)?;
        let case = cases.load(number)?;
        let logits = model::logits(&network, &case.input, device);
        let predicted = postprocess(&logits, task, &case.placement);
        let gray = || Ok(Gray::of_input(&case.input, channel(task), &case.placement));
        collector.add(cases.name(number), &reference, &predicted, gray)?;
    }
    let (cases, pictures) = collector.finish();
    // Of a GPU's memory the process knows nothing; and what was held depends on the number of
    // threads, so it is no part of the same bytes twice.
    let is_counted = !run.config.deterministic && devices::describe(device) == "cpu";
    let peak_bytes = is_counted.then(memory::peak_process_bytes).flatten();
    let held_out = HeldOut {
        version: trainer_report::VERSION,
        steps,
        are_training_cases: run.held_out.is_empty(),
        chose_weights: bundle.card.provenance.chosen_by_held_out,
        empty_rule: RULE.name().into(),
        nsd_tolerance_mm: Some(settings.tolerance_mm),
        device: devices::describe(device),
        peak_bytes,
        cases,
        pictures,
    };
    held_out.save(out)?;
    trainer_report::write(out, None)?;
    Ok(true)
}

/// Removes what an earlier end of the run wrote, which is no longer its end.
///
/// # Errors
/// When a file cannot be removed.
pub(super) fn remove_results(out: &Path) -> Result<()> {
    for name in [HELD_OUT, REPORT] {
        let file = out.join(name);
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}
