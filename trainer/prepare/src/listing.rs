//! Lists the series of an examination for people.

use std::path::PathBuf;

use anyhow::Result;
use model_core::formats::study::{SeriesSummary, Study};
use model_core::prepare::{Proposal, Role};
use model_core::texts;
use trainer_run::reporter::Reporter;

use crate::sources;

/// Reads files or folders, and lists their series.
///
/// # Errors
/// Errors if the files cannot be read, hold no scan, or belong to several patients.
pub fn list(paths: &[PathBuf], reporter: &dyn Reporter) -> Result<String> {
    let study = Study::open(sources::read(paths, reporter)?)?;
    Ok(text(&study, None))
}

/// Returns whether a path holds an examination rather than a data set: a ZIP archive, or a folder with
/// a DICOM file among its first files.
pub fn is_examination(path: &std::path::Path) -> bool {
    let starts_as_scan = |path: &PathBuf| {
        trainer_run::files::start(path).is_ok_and(|(start, _)| {
            start.get(128..132) == Some(b"DICM") || start.starts_with(b"PK\x03\x04")
        })
    };
    first_files(path, 0).iter().any(starts_as_scan)
}

/// Returns the first files of each of the first folders.
fn first_files(path: &std::path::Path, depth: usize) -> Vec<PathBuf> {
    const MAX_ENTRIES: usize = 8;
    const MAX_DEPTH: usize = 6;
    if !path.is_dir() {
        return vec![path.to_path_buf()];
    }
    if depth == MAX_DEPTH {
        return Vec::new();
    }
    let entries = trainer_data::data_set::listing::entries(path).unwrap_or_default();
    let entries = entries.into_iter().take(MAX_ENTRIES);
    entries.flat_map(|(_, path)| first_files(&path, depth + 1)).collect()
}

/// Lists the series of a study, with their use if it is known, and the notes about other files.
pub(crate) fn text(study: &Study, uses: Option<(&[Proposal], &[String])>) -> String {
    let summaries = study.series.iter().map(|series| series.summary());
    let mut lines: Vec<String> = summaries
        .enumerate()
        .map(|(n, summary)| {
            let proposal = uses.map(|(proposals, channels)| (&proposals[n], channels));
            line(n + 1, summary, proposal)
        })
        .collect();
    lines.extend(study.notes.iter().map(|note| format!("  note: {note}")));
    lines.extend(study.refused.iter().map(|(_, error)| format!("  not readable: {error}")));
    lines.join("\n")
}

fn line(
    number: usize,
    summary: &SeriesSummary,
    proposal: Option<(&Proposal, &[String])>,
) -> String {
    let [i, j, k] = summary.dims;
    let [x, y, z] = summary.spacing_mm.map(|mm| (mm * 1000.0).round() / 1000.0);
    let channels = match summary.num_channels {
        1 => String::new(),
        count => format!(", {count} channels"),
    };
    let mut text = format!(
        "{number:>3}  {}: {} {}, {i} × {j} × {k} voxels of {x} × {y} × {z} mm{channels}, {} in {}",
        summary.name,
        summary.plane.name(),
        summary.format.name(),
        texts::bytes(summary.bytes),
        if summary.num_files == 1 {
            "1 file".into()
        } else {
            format!("{} files", summary.num_files)
        },
    );
    text += &acquisition(summary);
    if let Some((Proposal { role, reason }, channels)) = proposal {
        let role = match role {
            Role::Channel(channel) => channels[*channel].clone(),
            Role::AllChannels => "all channels".into(),
            Role::Undecided => "undecided".into(),
            Role::Spare => "not used".into(),
        };
        text += &format!("\n     {role}");
        if !reason.is_empty() {
            text += &format!(": {reason}");
        }
    }
    summary.problem.iter().for_each(|problem| text += &format!("\n     problem: {problem}"));
    summary.warnings.iter().for_each(|warning| text += &format!("\n     {warning}"));
    text
}

/// Describes the acquisition, as far as the files state it.
fn acquisition(summary: &SeriesSummary) -> String {
    let hints = &summary.hints;
    let time = |name: &str, ms: Option<f64>| ms.map(|ms| format!("{name} {ms:.0} ms"));
    let parts: Vec<String> = [
        hints.modality.clone(),
        hints.sequence_name.clone(),
        time("TR", hints.repetition_time_ms),
        time("TE", hints.echo_time_ms),
        time("TI", hints.inversion_time_ms),
        hints.contrast_agent.filter(|given| *given).map(|_| "contrast agent".to_string()),
    ]
    .into_iter()
    .flatten()
    .collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("\n     {}", parts.join(", ")),
    }
}
