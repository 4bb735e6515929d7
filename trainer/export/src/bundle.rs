//! Exports the best weights of a run, or another bundle, as a bundle or as ONNX.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use model_core::{Bundle, Card};
use prost::Message;

use crate::onnx;
use crate::onnx::proto::TensorProto;
use trainer_run::files::outputs::{self, Output, TENSOR_MARK};
use trainer_run::{DISCLAIMER, run_folder};

/// The bundle of a run's best validation, or that of a file, under a name and with a warning where
/// these are given; in f16 with rounded weights.
///
/// # Errors
/// When the folder holds no validated run, or the file no bundle.
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
/// When the file is one of a run or cannot be written, or a weight is beyond what f16 holds.
pub fn write(bundle: &Bundle, out: &Path, storage: Storage) -> Result<()> {
    check_place("--out", out)?;
    let bytes = match storage {
        Storage::F32 => bundle.to_bytes()?,
        Storage::F16 => bundle.to_f16_bytes()?,
    };
    outputs::write(Output::Bundle, out, &bytes)
}

/// Writes a model as ONNX.
///
/// # Errors
/// As [`write()`]; when the file would be larger than 2 GiB.
pub fn write_onnx(bundle: &Bundle, out: &Path, form: onnx::Form) -> Result<()> {
    check_place("--onnx", out)?;
    let about = || format!("cannot write {}", out.display());
    outputs::write(Output::Onnx, out, &onnx::bytes(bundle, form).with_context(about)?)
}

/// Writes an input and its logits in the form of an ONNX test data set.
///
/// # Errors
/// When the folder cannot be made or written to.
pub fn write_onnx_sample(bundle: &Bundle, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Messages behind each other are one message, and this field is not among a tensor's own.
    let mark = TensorProto { doc_string: TENSOR_MARK.into(), ..TensorProto::default() };
    for (file, tensor) in sample_files(folder).iter().zip(onnx::sample(bundle)?) {
        let bytes = [mark.encode_to_vec(), tensor.encode_to_vec()].concat();
        outputs::write(Output::OnnxTensor, file, &bytes)?;
    }
    Ok(())
}

/// The files of an ONNX test data set.
pub fn sample_files(folder: &Path) -> [PathBuf; 2] {
    ["input_0.pb", "output_0.pb"].map(|name| folder.join(name))
}

/// Refuses what could not be written, before the work for it.
///
/// # Errors
/// With the option; when the file is one of a run, the model itself, somebody's, or cannot be written.
pub fn prepare(option: &str, kind: Output, out: &Path, model: &Path) -> Result<()> {
    check_place(option, out)?;
    let is_model = model.canonicalize().is_ok_and(|m| out.canonicalize().is_ok_and(|o| o == m));
    ensure!(
        !is_model,
        "expected {option} to name another file than the model itself, found {}",
        out.display()
    );
    outputs::prepare(option, kind, out)
}

/// Refuses a file that is a folder, or one beside a run's own.
fn check_place(option: &str, out: &Path) -> Result<()> {
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

/// How a bundle's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// As they were trained.
    F32,
    /// Rounded to half precision: half the size. The network still computes in f32.
    F16,
}

/// A bundle's card, for a person.
pub fn describe(bundle: &Bundle) -> String {
    let card = &bundle.card;
    let provenance = &card.provenance;
    let mut text = format!("name\t{}", card.name);
    if !card.warning.is_empty() {
        text += &format!("\nwarning\t{}", card.warning);
    }
    text += &format!(
        "\ndata\t{}, licence {}, {} training cases\nsteps\t{}\ncode\tversion {}",
        provenance.data,
        if provenance.licence.is_empty() { "not stated" } else { &provenance.licence },
        provenance.training_cases,
        provenance.steps,
        provenance.code_version
    );
    if provenance.held_out.is_empty() {
        text += "\nheld out\tnothing: there is no score on cases it was not trained on";
    }
    for score in &provenance.held_out {
        text += &format!("\nheld-out Dice\t{} {:.4} (n = {})", score.region, score.dice, score.n);
    }
    if provenance.chosen_by_held_out {
        text += "\n\t(the weights were chosen by these cases too)";
    }
    text + &format!("\nSHA-256\t{}", bundle.hash())
}

/// A bundle's card as Markdown, to lie beside it.
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
    let is_above = |(key, _): &(&str, &str)| ["name", "warning"].contains(key);
    rows.extend(described.filter(|row| !is_above(row)).map(|(a, b)| (a.into(), b.into())));
    if storage == Storage::F16 {
        let text = "weights in half precision; Dice is that of the weights before rounding";
        rows.push(("storage".into(), text.into()));
    }
    let rows = rows.iter().map(|(key, value)| format!("| {} | {} |\n", plain(key), plain(value)));
    let warning = match warning.is_empty() {
        true => String::new(),
        false => format!("**{}**\n\n", plain(warning)),
    };
    let (name, rows) = (plain(name), rows.collect::<String>());
    format!("# {name}\n\n_{DISCLAIMER}_\n\n{warning}| | |\n|---|---|\n{rows}")
}

/// Text that stays text in Markdown: it comes from data sets and the command line.
fn plain(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ").replace('&', "&amp;").replace('<', "&lt;");
    text.replace('|', "\\|").replace('*', "\\*").replace('[', "\\[")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_text_in_a_card() {
        assert_eq!(plain("a|b\n<script>*x*[y]"), "a\\|b &lt;script>\\*x\\*\\[y]");
    }
}
