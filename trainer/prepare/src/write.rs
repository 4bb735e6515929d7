//! Writes a prepared examination to a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use model_core::LabelMap;
use model_core::formats::nifti;
use trainer_report::montage;
use trainer_run::files;

use crate::Prepared;

/// The record of the steps. It is written last, so that a folder with it is complete.
pub const RECORD: &str = "preparation.json";
/// The picture of all channels.
const MONTAGE: &str = "montage.png";
/// The mask of the brain.
const MASK: &str = "brain-mask.nii.gz";

/// Returns whether a folder holds a complete prepared examination.
pub fn is_prepared(folder: &Path) -> bool {
    folder.join(RECORD).is_file()
}

/// Writes the channels, the mask, the picture and the record. Returns the channels' files, in order.
///
/// The files hold nothing of the scans' headers but their geometry.
///
/// # Errors
/// Errors if `out` holds other files than those of a preparation, if it holds a preparation and
/// `overwrite` is false, or if a file cannot be written.
pub fn write(prepared: &Prepared, out: &Path, overwrite: bool) -> Result<Vec<PathBuf>> {
    let names = &prepared.record.channels;
    let images: Vec<PathBuf> = names
        .iter()
        .enumerate()
        .map(|(n, record)| out.join(file_name(n, &record.channel)))
        .collect();
    check_folder(out, &images, overwrite)?;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    // Without its record the folder counts as incomplete until all is written.
    for file in [RECORD, MASK] {
        let file = out.join(file);
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot replace {}", file.display()))?;
        }
    }
    for (image, volume) in images.iter().zip(&prepared.channels) {
        files::write(image, &nifti::write_volumes(std::slice::from_ref(volume))?)?;
    }
    if let Some(mask) = &prepared.mask {
        files::write(&out.join(MASK), &nifti::write_labels(mask))?;
    }
    let channels: Vec<(&str, &model_core::Volume)> =
        names.iter().map(|record| record.channel.as_str()).zip(&prepared.channels).collect();
    let background;
    let mask = match &prepared.mask {
        Some(mask) => mask,
        None => {
            background = LabelMap::background(prepared.channels[0].grid().clone());
            &background
        }
    };
    files::write(&out.join(MONTAGE), &montage(&channels, mask)?)?;
    files::write(&out.join(RECORD), prepared.record.to_json().as_bytes())?;
    Ok(images)
}

/// Returns a channel's file name: its name, or its number if the name has other characters than
/// letters and digits.
fn file_name(n: usize, channel: &str) -> String {
    match channel.chars().all(|c| c.is_ascii_alphanumeric()) && channel.len() <= 40 {
        true if !channel.is_empty() => format!("{channel}.nii.gz"),
        _ => format!("channel_{n:04}.nii.gz"),
    }
}

/// Errors if the folder holds files that are not of a preparation.
fn check_folder(out: &Path, images: &[PathBuf], overwrite: bool) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    ensure!(out.is_dir(), "--out: expected a folder, found the file {}", out.display());
    ensure!(
        overwrite || !is_prepared(out),
        "--out: {} holds a prepared examination; --overwrite replaces it",
        out.display()
    );
    let own = [RECORD, MONTAGE, MASK].map(|name| out.join(name));
    for (_, path) in trainer_data::data_set::listing::entries(out)? {
        ensure!(
            own.contains(&path) || images.contains(&path),
            "--out: expected a new folder, found {} in it",
            path.display()
        );
    }
    Ok(())
}
