//! Exports the best weights of a run, or of another bundle, as a bundle or as ONNX.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use model_core::{Bundle, Card};
use prost::Message;

pub use crate::storage::Storage;

use crate::onnx::proto::TensorProto;
use crate::onnx::{self, OnnxOptions};
use trainer_run::files::outputs::{self, Output, TENSOR_MARK};
use trainer_run::{DISCLAIMER, run_folder};

/// Reads the bundle of a run's best validation, or of a file. `name` and `warning` replace those of
/// the bundle. Weights are rounded for storage in f16.
///
/// # Errors
/// Errors if the folder holds no validated run, or if the file is not a bundle.
pub fn bundle(
    model: &Path,
    name: Option<&str>,
    warning: Option<&str>,
    storage: Storage,
) -> Result<Bundle> {
    if model.is_dir() {
        run_folder::Run::read(model)?;
    }
    let mut bundle = run_folder::read_bundle(model)?;
    if let Some(name) = name {
        bundle.card.name = name.to_string();
    }
    if let Some(warning) = warning {
        bundle.card.warning = warning.to_string();
    }
    Ok(match storage {
        Storage::F32 => bundle,
        Storage::F16 => bundle.rounded_to_f16(),
    })
}

/// Writes a bundle.
///
/// # Errors
/// Errors if `out` is in a run's folder or cannot be written, or if a weight exceeds the range of
/// f16.
pub fn write(bundle: &Bundle, out: &Path, storage: Storage) -> Result<()> {
    check_destination("--out", out)?;
    let bytes = match storage {
        Storage::F32 => bundle.to_bytes()?,
        Storage::F16 => bundle.to_f16_bytes()?,
    };
    outputs::write(Output::Bundle, out, &bytes)
}

/// Writes a model as ONNX.
///
/// # Errors
/// See [`write()`]. Errors if the file would exceed 2 GiB.
pub fn write_onnx(bundle: &Bundle, out: &Path, options: OnnxOptions) -> Result<()> {
    check_destination("--onnx", out)?;
    let about = || format!("cannot write {}", out.display());
    outputs::write(Output::Onnx, out, &onnx::bytes(bundle, options).with_context(about)?)
}

/// Writes an input and its logits as an ONNX test data set.
///
/// # Errors
/// Errors if the folder cannot be created or written to.
pub fn write_onnx_sample(bundle: &Bundle, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Concatenated messages are one message. The mark uses a field that a tensor does not need.
    let mark = TensorProto { doc_string: TENSOR_MARK.into(), ..TensorProto::default() };
    for (file, tensor) in sample_files(folder).iter().zip(onnx::sample(bundle)?) {
        let bytes = [mark.encode_to_vec(), tensor.encode_to_vec()].concat();
        outputs::write(Output::OnnxTensor, file, &bytes)?;
    }
    Ok(())
}

/// Returns the files of an ONNX test data set: the input and the output.
pub fn sample_files(folder: &Path) -> [PathBuf; 2] {
    ["input_0.pb", "output_0.pb"].map(|name| folder.join(name))
}

/// Checks, before any work, that a file can be written.
///
/// # Errors
/// Errors with the option if the file is in a run's folder, is the model itself, is a file that
/// Rewind did not write, or cannot be written.
pub fn prepare(option: &str, kind: Output, out: &Path, model: &Path) -> Result<()> {
    check_destination(option, out)?;
    let is_model = model.canonicalize().is_ok_and(|m| out.canonicalize().is_ok_and(|o| o == m));
    ensure!(
        !is_model,
        "expected {option} to name another file than the model itself, found {}",
        out.display()
    );
    outputs::prepare(option, kind, out)
}

/// Checks that a path is neither a folder nor in a run's folder.
fn check_destination(option: &str, out: &Path) -> Result<()> {
    if out.is_dir() {
        bail!("expected {option} to name a file, found the folder {}", out.display());
    }
    let folder = out.parent().unwrap_or(Path::new(""));
    ensure!(
        !folder.join(run_folder::RUN).exists(),
        "expected {option} to name a file outside of a run's folder, whose own files it could \
         replace, found {}",
        out.display()
    );
    Ok(())
}

/// Formats a bundle's card for printing, with a tab between name and value.
pub fn describe(bundle: &Bundle) -> String {
    let card = &bundle.card;
    let provenance = &card.provenance;
    let mut text = format!("name\t{}", card.name);
    if !card.warning.is_empty() {
        text += &format!("\nwarning\t{}", card.warning);
    }
    text += &format!(
        "\ndata\t{}, license {}, {} training cases\nsteps\t{}\ncode\tversion {}",
        provenance.data,
        if provenance.license.is_empty() { "not stated" } else { &provenance.license },
        provenance.training_cases,
        provenance.steps,
        provenance.code_version
    );
    if provenance.held_out.is_empty() {
        text += "\nheld out\tno cases: there is no score on unseen cases";
    }
    for score in &provenance.held_out {
        let deviation = score.dice_deviation.map(|spread| format!(" ± {spread:.4}"));
        let hd95 = score.hd95_mm.map(|hd95_mm| format!(", median HD95 {hd95_mm:.1} mm"));
        text += &format!(
            "\nheld-out Dice\t{} {:.4}{}{} (n = {})",
            score.region,
            score.dice,
            deviation.unwrap_or_default(),
            hd95.unwrap_or_default(),
            score.n
        );
    }
    if provenance.folds > 0 {
        text += &format!(
            "\n\t(of a cross-validation with the same settings, {} folds; this model was trained on \
             all cases)",
            provenance.folds
        );
    }
    if provenance.chosen_by_held_out {
        text += "\n\t(these cases also chose the weights)";
    }
    if let Some(calibration) = &card.calibration {
        for (region, calibrated) in card.task.regions.iter().zip(&calibration.regions) {
            text += &format!(
                "\ncalibration error\t{} {:.3}, {:.3} with temperature {:.2} (n = {})",
                region.name,
                calibrated.error_before,
                calibrated.error,
                calibrated.temperature,
                calibration.cases
            );
        }
    }
    for failure in &card.known_failures {
        text += &format!("\nknown failure\t{failure}");
    }
    text + &format!("\nSHA-256\t{}", bundle.hash())
}

/// Formats a bundle's card as Markdown.
pub fn card(bundle: &Bundle, storage: Storage) -> String {
    let Card { name, warning, task, network, preprocess, .. } = &bundle.card;
    let regions: Vec<String> = task.regions.iter().map(|region| region.name.clone()).collect();
    let num_parameters: usize = bundle.weights.values().map(|array| array.values.len()).sum();
    let mut rows = vec![
        ("channels".to_string(), task.channels.join(", ")),
        ("regions".into(), regions.join(", ")),
        ("network".into(), format!("{num_parameters} parameters, widths {:?}", network.widths)),
        ("intensities".into(), format!("normalized by {:?}", preprocess.foreground).to_lowercase()),
    ];
    let described = describe(bundle);
    let described = described.lines().filter_map(|line| line.split_once('\t'));
    let is_in_heading = |(key, _): &(&str, &str)| ["name", "warning"].contains(key);
    rows.extend(described.filter(|row| !is_in_heading(row)).map(|(a, b)| (a.into(), b.into())));
    if storage == Storage::F16 {
        let text = "weights in half precision; the Dice is that of the weights before rounding";
        rows.push(("storage".into(), text.into()));
    }
    let rows = rows.iter().map(|(key, value)| format!("| {} | {} |\n", escape(key), escape(value)));
    let warning = match warning.is_empty() {
        true => String::new(),
        false => format!("**{}**\n\n", escape(warning)),
    };
    let (name, rows) = (escape(name), rows.collect::<String>());
    format!("# {name}\n\n_{DISCLAIMER}_\n\n{warning}| | |\n|---|---|\n{rows}")
}

/// Escapes a text for Markdown. Texts come from data sets and from the command line.
fn escape(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ").replace('&', "&amp;").replace('<', "&lt;");
    text.replace('|', "\\|").replace('*', "\\*").replace('[', "\\[")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_a_card_are_escaped() {
        assert_eq!(escape("a|b\n<script>*x*[y]"), "a\\|b &lt;script>\\*x\\*\\[y]");
    }
}
