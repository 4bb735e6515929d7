//! The title, and the sections about settings, data and machine.

use std::time::Duration;

use model_core::BUNDLE_VERSION;
use model_core::network::layers::{Parameter, parameters};
use model_core::texts::bytes;

use super::{count, list};
use crate::Report;
use crate::chart::grouped;
use crate::escape::escape;
use trainer_run::config::{Float, TrainConfig, describe};
use trainer_run::progress::duration;

/// The Cargo manifest, which pins the version of burn.
const MANIFEST: &str = include_str!("../../../../Cargo.toml");

/// Returns the title and the subtitle.
pub(crate) fn title(report: &Report) -> (String, String) {
    let run = &report.run;
    let cases = match run.held_out.len() {
        0 => count(run.training.len(), "training case", "training cases"),
        held_out => format!("{} training and {held_out} held-out cases", run.training.len()),
    };
    let steps = grouped(report.history.steps() as f64, 0);
    (escape(&run.data), format!("{}, {steps} steps on {cases}", network_name(report)))
}

fn network_name(report: &Report) -> String {
    match &report.run.config.preset {
        Some(preset) => escape(preset),
        None => format!("a network of widths {:?}", report.run.network.widths),
    }
}

/// Formats a setting's value as in TOML, but without quotes. Returns `None` if it is not set.
fn setting(settings: &toml::Table, name: &str) -> Option<String> {
    settings.get(name).map(|value| match value {
        toml::Value::String(text) => text.clone(),
        value => value.to_string(),
    })
}

/// Returns the section about the network and its training, with all settings.
pub(crate) fn training(report: &Report) -> String {
    let config: &TrainConfig = &report.run.config;
    let network = &report.run.network;
    let settings = toml::Table::try_from(config).unwrap_or_default();
    let value = |name: &str| setting(&settings, name).map(|value| escape(&value));
    let preset = config.preset.as_deref().map(|preset| format!("{}, ", escape(preset)));
    let preset = preset.unwrap_or_default();
    let inference = network.for_inference();
    let num_parameters = |network| parameters(network).iter().map(Parameter::len).sum::<usize>();
    let exported = num_parameters(&inference);
    let branch = match num_parameters(network) - exported {
        0 => String::new(),
        more => format!(", and {} that only training has", grouped(more as f64, 0)),
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
    let decay = value("decay").map_or(String::new(), |decay| format!(", {decay} decay"));
    // f32 is expected, and not mentioned.
    let precision = match config.precision(&report.run.network) {
        Ok(precision) if config.precision != Float::F32 => Some(describe(precision)),
        _ => None,
    };
    let skipped = match report.history.skipped_steps() {
        0 => String::new(),
        skipped => {
            format!(", {skipped} of them skipped, because the gradient exceeded f16's range")
        }
    };
    let drift = report.history.largest_drift();
    let drift = drift
        .map(|drift| format!("inputs are recovered with a relative error of at most {drift:.1e}"));
    let entries = [
        ("Recipe", config.recipe.as_deref().map(escape)),
        ("Network", Some(format!("{}widths {:?}", preset, network.widths))),
        ("Parameters", Some(format!("{}{branch}", grouped(exported as f64, 0)))),
        ("Channels", Some(escape(&report.run.task.channels.join(", ")))),
        ("Patches", Some(format!("{patches}, of {} voxels", format_dims(config.patch)))),
        ("Precision", precision),
        ("Rewinding", drift),
        (
            "Steps",
            Some(format!(
                "{} of {}{skipped}",
                grouped(report.history.steps() as f64, 0),
                config.steps
            )),
        ),
        ("Loss", value("loss")),
        ("Optimizer", value("optimizer")),
        ("Learning rate", value("learning_rate").map(|rate| format!("{rate}{decay}"))),
        ("Seed", Some(format!("{}{fold}", config.seed))),
    ];
    let toml = toml::to_string(config).unwrap_or_default();
    format!(
        "{}<details><summary>All settings, as train.toml</summary>\n<pre>{}</pre></details>\n",
        list(&entries),
        escape(&toml)
    )
}

fn format_dims(patch: [usize; 3]) -> String {
    patch.map(|n| n.to_string()).join(" × ")
}

/// Returns the section about the data set and the split of its cases.
pub(crate) fn data(report: &Report) -> String {
    let run = &report.run;
    let license = match run.license.trim() {
        "" => "not stated".into(),
        license => escape(license),
    };
    let regions = run.task.regions.iter().map(|region| {
        let codes: Vec<String> = region.labels.iter().map(u8::to_string).collect();
        format!("{} ({})", escape(&region.name), codes.join(", "))
    });
    let entries = [
        ("Name", Some(escape(&run.data))),
        ("License", Some(license)),
        ("Regions (labels)", Some(regions.collect::<Vec<_>>().join(", "))),
        ("Fingerprint", Some(format!("<code>{}</code>", escape(&run.data_fingerprint)))),
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

/// Returns the section about time, memory, device and versions.
pub(crate) fn machine(report: &Report) -> String {
    let history = &report.history;
    let held_out = report.held_out.as_ref();
    let time = match history.total_secs() {
        Some(secs) => {
            // A number in a file may be negative or too large.
            let total = Duration::try_from_secs_f64(secs).unwrap_or_default();
            Some(format!("{}, including validations", duration(total)))
        }
        None if report.run.config.deterministic => {
            Some("not recorded, because the run is deterministic".into())
        }
        None => None,
    };
    let format_step = |secs: f64| match secs {
        secs if secs < 1.0 => format!("{:.0} ms", 1000.0 * secs),
        secs => format!("{secs:.2} s"),
    };
    let waited = history
        .waited_fraction()
        .map(|share| format!("the device waited for patches {:.1} % of the time", 100.0 * share));
    let entries = [
        ("Time", time),
        ("Time per step", history.step_secs().map(format_step)),
        ("Waiting", waited),
        ("Device", held_out.map(|held_out| escape(&held_out.device))),
        ("Peak memory", held_out.and_then(|h| h.peak_bytes).map(bytes)),
        ("Trained by", Some(format!("Rewind {}", escape(&report.run.code_version)))),
        (
            "Reported by",
            Some(format!(
                "Rewind {}, burn {}, bundle version {BUNDLE_VERSION}",
                env!("CARGO_PKG_VERSION"),
                burn_version().unwrap_or("unknown")
            )),
        ),
    ];
    list(&entries)
}

/// Returns the version of burn that the manifest pins.
fn burn_version() -> Option<&'static str> {
    let burn = MANIFEST.lines().find(|line| line.starts_with("burn = "))?;
    burn.split("\"=").nth(1)?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_burn_is_known() {
        let is_version = |c: char| c.is_ascii_digit() || c == '.';
        let version = burn_version().unwrap();
        assert!(version.len() >= 5 && version.chars().all(is_version), "{version}");
    }
}
