//! Last step of training: the best weights on every measured case, and the report.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use burn::tensor::Device;
use indicatif::ProgressBar;
use model_core::metrics::Settings;
use model_core::postprocess;

use crate::cases::Cases;
use crate::report::{self, Collector, Gray, HeldOut, NUM_PICTURES, REPORT, channel};
use crate::run_folder::{Run, read_bundle};
use crate::validate::RULE;
use crate::{counting, device as devices, model};

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
    chose_weights: bool,
    device: &Device,
    stop: &AtomicBool,
    bar: &ProgressBar,
) -> Result<bool> {
    let bundle = read_bundle(out)?;
    let (task, steps) = (&run.task, bundle.card.provenance.steps);
    let is_done = HeldOut::find(out, task)?.is_some_and(|done| done.steps == steps);
    if is_done && out.join(REPORT).exists() {
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
    // What was held depends on the number of threads, so it is no part of the same bytes twice.
    let peak_bytes = (!run.config.deterministic).then(|| counting::most_held_bytes() as u64);
    let held_out = HeldOut {
        version: report::VERSION,
        steps,
        are_training_cases: run.held_out.is_empty(),
        chose_weights,
        empty_rule: RULE.name().into(),
        nsd_tolerance_mm: Some(settings.tolerance_mm),
        device: devices::describe(device),
        peak_bytes: peak_bytes.filter(|bytes| *bytes > 0),
        cases,
        pictures,
    };
    held_out.save(out)?;
    report::write(out, None)?;
    Ok(true)
}
