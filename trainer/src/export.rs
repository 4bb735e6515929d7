//! Exports the best weights of a run as a bundle.

use std::path::Path;

use anyhow::{Result, bail};
use model_core::Bundle;

use crate::{files, run_folder};

/// Writes the bundle of a run's best validation to a file, under a name and with a warning; gives
/// the bundle, as it is used: in f16 with rounded weights.
///
/// # Errors
/// When the folder holds no validated run, or the file exists already or cannot be written.
pub fn export(
    run: &Path,
    out: &Path,
    name: Option<&str>,
    warning: Option<&str>,
    storage: Storage,
) -> Result<Bundle> {
    run_folder::Run::read(run)?;
    let mut bundle = run_folder::read_bundle(run)?;
    if let Some(name) = name {
        bundle.card.name = name.to_string();
    }
    if let Some(warning) = warning {
        bundle.card.warning = warning.to_string();
    }
    if out.is_dir() {
        bail!("expected --out to name a file, found the folder {}", out.display());
    }
    let bytes = match storage {
        Storage::F32 => bundle.to_bytes()?,
        Storage::F16 => {
            bundle = bundle.rounded_to_f16();
            bundle.to_f16_bytes()?
        }
    };
    files::write(out, &bytes)?;
    Ok(bundle)
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
    if !provenance.held_out.is_empty() {
        text += "\n\t(the weights were chosen by these cases too)";
    }
    text + &format!("\nSHA-256\t{}", bundle.hash())
}
