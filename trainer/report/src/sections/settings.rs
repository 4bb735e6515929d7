//! What was trained on what, with what: the report's title and its last sections.

use std::time::Duration;

use model_core::BUNDLE_VERSION;
use model_core::network::layers::{Parameter, parameters};
use model_core::texts::bytes;

use super::{count, list};
use crate::Report;
use crate::chart::grouped;
use crate::html::escape;
use trainer_run::config::{Float, TrainConfig, describe};
use trainer_run::progress::duration;

/// The manifest that pins the version of burn.
const MANIFEST: &str = include_str!("../../../../Cargo.toml");

/// The title and the line below it.
pub(crate) fn title(report: &Report) -> (String, String) {
    let run = &report.run;
    let cases = match run.held_out.len() {
        0 => count(run.training.len(), "training case", "training cases"),
        held_out => format!("{} training and {held_out} held-out cases", run.training.len()),
    };
    let steps = grouped(report.history.steps() as f64, 0);
    (escape(&run.data), format!("{}, {steps} steps on {cases}", network(report)))
}

fn network(report: &Report) -> String {
    match &report.run.config.preset {
        Some(preset) => escape(preset),
        None => format!("a network of widths {:?}", report.run.network.widths),
    }
}

/// A setting's value as TOML writes it, without quotes; empty where it is left out.
fn setting(settings: &toml::Table, name: &str) -> String {
    match settings.get(name) {
        Some(toml::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

/// The network and how it was trained, with all settings.
pub(crate) fn training(report: &Report) -> String {
    let config: &TrainConfig = &report.run.config;
    let network = &report.run.network;
    let settings = toml::Table::try_from(config).unwrap_or_default();
    let of = |name: &str| escape(&setting(&settings, name));
    let preset = config.preset.as_deref().map(|preset| format!("{}, ", escape(preset)));
    let preset = preset.unwrap_or_default();
    let inference = network.for_inference();
    let num_parameters = |network| parameters(network).iter().map(Parameter::len).sum::<usize>();
    let exported = num_parameters(&inference);
    let branch = match num_parameters(network) - exported {
        0 => String::new(),
        more => format!(", and {} of the variational branch", grouped(more as f64, 0)),
    };
    let patches = match config.accumulate {
        1 => format!("{} a step", config.batch),
        batches => {
            format!("{} a step, as {batches} batches of {}", config.batch * batches, config.batch)
        }
    };
    let fold = match config.fold {
        Some(fold) => format!(", fold {fold} of {}", config.folds),
        None => String::new(),
    };
    let decay = |text: String| if text.is_empty() { text } else { format!(", {text} decay") };
    // Of a run whose settings are f32 nothing is said that would not be expected.
    let precision = match config.precision() {
        Ok(precision) if config.precision != Float::F32 => describe(precision),
        _ => String::new(),
    };
    let skipped = match report.history.skipped_steps() {
        0 => String::new(),
        skipped => format!(", {skipped} of them skipped, since their gradient left f16's range"),
    };
    let drift = match report.history.largest_drift() {
        Some(drift) => format!("inputs recovered to a relative error of {drift:.1e} at most"),
        None => String::new(),
    };
    let entries = [
        ("Recipe", config.recipe.as_deref().map(escape).unwrap_or_default()),
        ("Network", format!("{}widths {:?}", preset, network.widths)),
        ("Parameters", format!("{}{branch}", grouped(exported as f64, 0))),
        ("Channels", escape(&report.run.task.channels.join(", "))),
        ("Patches", format!("{patches}, of {} voxels", extent(config.patch))),
        ("Precision", precision),
        ("Rewinding", drift),
        (
            "Steps",
            format!("{} of {}{skipped}", grouped(report.history.steps() as f64, 0), config.steps),
        ),
        ("Loss", of("loss")),
        ("Optimizer", of("optimizer")),
        ("Learning rate", format!("{}{}", of("learning_rate"), decay(of("decay")))),
        ("Seed", format!("{}{fold}", config.seed)),
    ];
    let toml = toml::to_string(config).unwrap_or_default();
    format!(
        "{}<details><summary>All settings, as train.toml</summary>\n<pre>{}</pre></details>\n",
        list(&entries),
        escape(&toml)
    )
}

fn extent(patch: [usize; 3]) -> String {
    patch.map(|n| n.to_string()).join(" × ")
}

/// The data set and which case went where.
pub(crate) fn data(report: &Report) -> String {
    let run = &report.run;
    let licence = match run.licence.trim() {
        "" => "not stated".into(),
        licence => escape(licence),
    };
    let task = run.task.regions.iter().map(|region| {
        let codes: Vec<String> = region.labels.iter().map(u8::to_string).collect();
        format!("{} ({})", escape(&region.name), codes.join(", "))
    });
    let entries = [
        ("Name", escape(&run.data)),
        ("Licence", licence),
        ("Regions (labels)", task.collect::<Vec<_>>().join(", ")),
        ("Fingerprint", format!("<code>{}</code>", escape(&run.data_fingerprint))),
    ];
    let names = |cases: &[String], one: &str, many: &str| {
        let names: String = cases.iter().map(|name| format!("<li>{}</li>", escape(name))).collect();
        match cases.len() {
            0 => String::new(),
            len => format!(
                "<details><summary>{}</summary>\n<ul class=\"names\">{names}</ul></details>\n",
                count(len, one, many)
            ),
        }
    };
    list(&entries)
        + &names(&run.training, "training case", "training cases")
        + &names(&run.held_out, "held-out case", "held-out cases")
}

/// Time, memory, device and versions.
pub(crate) fn machine(report: &Report) -> String {
    let history = &report.history;
    let held_out = report.held_out.as_ref();
    let time = match history.total_secs() {
        Some(secs) => {
            // A clock in a file can say anything.
            let total = Duration::try_from_secs_f64(secs).unwrap_or_default();
            format!("{}, validations included", duration(total))
        }
        None if report.run.config.deterministic => {
            "not recorded: the run is deterministic, and keeps clocks out of its files".into()
        }
        None => String::new(),
    };
    let step = |secs: f64| match secs {
        secs if secs < 1.0 => format!("{:.0} ms", 1000.0 * secs),
        secs => format!("{secs:.2} s"),
    };
    let waited = history
        .waited_fraction()
        .map(|share| format!("{:.1} % of the time the device waited for patches", 100.0 * share));
    let entries = [
        ("Time", time),
        ("A step", history.step_secs().map(step).unwrap_or_default()),
        ("Waiting", waited.unwrap_or_default()),
        ("Device", held_out.map(|held_out| escape(&held_out.device)).unwrap_or_default()),
        ("Peak memory", held_out.and_then(|h| h.peak_bytes).map(bytes).unwrap_or_default()),
        ("Trained by", format!("Rewind {}", escape(&report.run.code_version))),
        (
            "Reported by",
            format!(
                "Rewind {}, burn {}, bundle version {BUNDLE_VERSION}",
                env!("CARGO_PKG_VERSION"),
                burn_version()
            ),
        ),
    ];
    list(&entries)
}

/// The version of burn, which the manifest pins.
fn burn_version() -> &'static str {
    let burn = MANIFEST.lines().find(|line| line.starts_with("burn = "));
    burn.and_then(|line| line.split("\"=").nth(1)?.split('"').next()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_burn_is_known() {
        let is_version = |c: char| c.is_ascii_digit() || c == '.';
        assert!(burn_version().len() >= 5 && burn_version().chars().all(is_version));
    }
}
