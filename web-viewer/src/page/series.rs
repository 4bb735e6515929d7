//! The opened files: the worker finds their series, each series gets a role, and those with a channel
//! are decoded.

use std::sync::Arc;

use js_sys::{Array, Float32Array, Uint8Array};
use leptos::prelude::*;
use model_core::formats::study::{Identity, SeriesSummary, Thumbnail};
use model_core::prepare::{Proposal, Role, propose};
use model_core::{Volume, takes_any_contrast};
use wasm_bindgen::JsValue;

use super::client::{ResourceHandle, request};
use super::opened::{ChannelSlot, LoadedChannel, SeriesEntry};
use super::preparation;
use super::state::{ActionToken, Interruption, Page};
use super::status::Phase;
use crate::protocol::{ChannelId, SeriesId, WorkerRequest, WorkerResponse};
use crate::slice::Window;

/// The path and the bytes of a file.
pub struct ScanFile {
    /// The path within the dropped folder, or the file's name.
    pub path: String,
    /// An `ArrayBuffer`, which is transferred to the worker.
    pub bytes: JsValue,
}

/// Finds the series in files.
///
/// # Errors
/// A message for the user.
pub async fn open_study(page: Page, files: Vec<ScanFile>) -> Result<Vec<SeriesEntry>, String> {
    let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    let what = match &paths[..] {
        [path] => path.clone(),
        paths => format!("{} files", paths.len()),
    };
    page.set_status(Phase::Loading, format!("Reading {what}"));
    let buffers: Array = files.into_iter().map(|file| file.bytes).collect();
    let patients = page.series.with_untracked(|series| {
        let mut patients: Vec<Identity> = series.iter().map(|e| e.patient.clone()).collect();
        patients.dedup();
        patients
    });
    let study = ResourceHandle::new();
    let open = WorkerRequest::OpenStudy { resource: study.id(), paths, patients };
    let (WorkerResponse::Study { patient, series, thumbnails, notes, refused }, arrays) =
        request(&open, Some(buffers.into())).await?
    else {
        return Err("the worker did not return the series".into());
    };
    let refused: Vec<String> = refused.into_iter().map(|(_, error)| error).collect();
    if series.is_empty() {
        return Err(if refused.is_empty() { notes.join(" ") } else { refused.join("; ") });
    }
    page.study_notes.set(notes.into_iter().chain(refused).collect());
    let pictures = thumbnails.into_iter().zip(arrays.iter());
    let entries = series.into_iter().zip(pictures).enumerate();
    Ok(entries
        .map(|(index, (summary, ([width, height], pixels)))| SeriesEntry {
            study: study.clone(),
            patient: patient.clone(),
            index,
            summary: Arc::new(summary),
            thumbnail: (width * height > 0).then(|| {
                Arc::new(Thumbnail { width, height, pixels: Uint8Array::from(pixels).to_vec() })
            }),
            proposal: Proposal { role: Role::Undecided, reason: String::new() },
            loaded: Vec::new(),
        })
        .collect())
}

/// Adds series to the opened ones, and proposes a role for each. `slot` is the channel that the user
/// chose for a single series.
pub fn add(page: Page, mut new: Vec<SeriesEntry>, slot: Option<usize>) {
    let channels = page.channel_names();
    let summaries: Vec<SeriesSummary> = new.iter().map(|entry| (*entry.summary).clone()).collect();
    for (entry, proposal) in new.iter_mut().zip(propose(&summaries, &channels)) {
        entry.proposal = proposal;
    }
    if let [entry] = &mut new[..]
        && entry.summary.num_channels == 1
    {
        match slot {
            Some(slot) => entry.proposal = chosen(Role::Channel(slot)),
            // The only scan for a model that needs one.
            None if channels.len() == 1 && entry.proposal.role == Role::Undecided => {
                entry.proposal.role = Role::Channel(0);
            }
            None => {}
        }
    }
    let has = |role| new.iter().any(|entry| entry.proposal.role == role);
    let is_complete = has(Role::AllChannels) || (0..channels.len()).all(|n| has(Role::Channel(n)));
    page.series.update(|series| {
        // A complete new examination replaces the old one, so that the two are not compared.
        if is_complete && slot.is_none() {
            series.clear();
        }
        for entry in new {
            let role = entry.proposal.role;
            series.push(entry);
            let n = series.len() - 1;
            make_exclusive(series, n, role);
        }
        if takes_any_contrast(&channels) {
            use_any_contrast(series);
        }
    });
}

/// Gives the only channel of a model for any contrast to the first series that is not decided.
fn use_any_contrast(series: &mut [SeriesEntry]) {
    let undecided = |entry: &&mut SeriesEntry| entry.proposal.role == Role::Undecided;
    let mut is_free = !series.iter().any(SeriesEntry::is_used);
    for entry in series.iter_mut().filter(undecided) {
        entry.proposal.role =
            if std::mem::take(&mut is_free) { Role::Channel(0) } else { Role::Spare };
    }
}

fn chosen(role: Role) -> Proposal {
    Proposal { role, reason: "you chose this".into() }
}

/// Sets the series aside that have the channel of the series `n` too.
fn make_exclusive(series: &mut [SeriesEntry], n: usize, role: Role) {
    let conflicts = |other: Role| match (role, other) {
        (Role::Channel(a), Role::Channel(b)) => a == b,
        (Role::AllChannels, Role::Channel(_) | Role::AllChannels) => true,
        (Role::Channel(_), Role::AllChannels) => true,
        _ => false,
    };
    for (other, entry) in series.iter_mut().enumerate() {
        if other != n && conflicts(entry.proposal.role) {
            entry.proposal = Proposal { role: Role::Spare, reason: "replaced by another".into() };
        }
    }
}

/// Gives a series the role that the user chose.
pub fn choose(page: Page, n: usize, role: Role) {
    page.series.update(|series| {
        if let Some(entry) = series.get_mut(n) {
            entry.proposal = chosen(role);
            make_exclusive(series, n, role);
        }
    });
}

/// Decodes the series that are used, recognizes undecided ones by their intensities, and fills the
/// slots.
pub async fn read_used(page: Page, token: ActionToken) -> Result<(), Interruption> {
    read_where(page, token, SeriesEntry::is_used).await?;
    decide_by_intensity(page, token).await?;
    read_where(page, token, SeriesEntry::is_used).await?;
    fill_slots(page);
    Ok(())
}

/// Decodes the series that match and are not decoded yet.
async fn read_where(
    page: Page,
    token: ActionToken,
    matches: impl Fn(&SeriesEntry) -> bool,
) -> Result<(), Interruption> {
    for entry in page.series.get_untracked() {
        if matches(&entry) && entry.loaded.is_empty() {
            let result = read(page, &entry).await;
            page.check_current(token)?;
            page.series.update(|series| {
                let stored = series.iter_mut().find(|stored| stored.is(&entry));
                match (stored, &result) {
                    (Some(stored), Ok(channels)) => stored.loaded = channels.clone(),
                    (Some(stored), Err(error)) => {
                        stored.proposal = Proposal { role: Role::Spare, reason: error.clone() };
                    }
                    (None, _) => {}
                }
            });
            if let Err(error) = result {
                fill_slots(page);
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// Decodes a series in the worker.
pub async fn read(page: Page, entry: &SeriesEntry) -> Result<Vec<LoadedChannel>, String> {
    let name = entry.name();
    page.set_status(Phase::Loading, format!("Reading {name}"));
    let handle = ResourceHandle::new();
    let series = SeriesId { study: entry.study.id(), index: entry.index };
    let read = WorkerRequest::ReadSeries { series, resource: handle.id() };
    let response = request(&read, None).await;
    let in_series = |error: String| match error.contains(&name) {
        true => error,
        false => format!("{error} (in {name})"),
    };
    let (WorkerResponse::Scan { grid, warnings }, arrays) = response.map_err(in_series)? else {
        return Err(format!("the worker did not return the scan (in {name})"));
    };
    let values = arrays.iter().map(|array| Float32Array::from(array).to_vec());
    let channels = values.enumerate().map(|(channel, values)| {
        Ok(LoadedChannel {
            handle: handle.clone(),
            channel,
            file: name.clone(),
            default_window: Window::robust(&values),
            warnings: warnings.clone(),
            volume: Arc::new(Volume::new(grid.clone(), values).map_err(|e| e.to_string())?),
        })
    });
    channels.collect()
}

/// Assigns undecided series to missing channels by their intensities. A single one that cannot be
/// recognized gets the only missing channel.
async fn decide_by_intensity(page: Page, token: ActionToken) -> Result<(), Interruption> {
    let channels = page.channel_names();
    let is_taken = |n: usize| {
        let takes = |entry: &SeriesEntry| match entry.proposal.role {
            Role::Channel(channel) => channel == n,
            Role::AllChannels => true,
            _ => false,
        };
        page.series.with_untracked(|series| series.iter().any(takes))
    };
    let missing: Vec<usize> = (0..channels.len()).filter(|&n| !is_taken(n)).collect();
    let is_undecided = |entry: &SeriesEntry| {
        entry.proposal.role == Role::Undecided && entry.summary.num_channels == 1
    };
    let undecided =
        || page.series.with_untracked(|series| series.iter().filter(|e| is_undecided(e)).count());
    let roles = match (missing.len(), undecided()) {
        (0, _) | (_, 0) => return Ok(()),
        (1, 1) => vec![Some(0)],
        _ => {
            read_where(page, token, is_undecided).await?;
            let ids: Vec<ChannelId> = page.series.with_untracked(|series| {
                series.iter().filter(|e| is_undecided(e)).map(|e| e.loaded[0].id()).collect()
            });
            let network = preparation::brain_network(page).await?;
            page.check_current(token)?;
            let missing = missing.iter().map(|&n| channels[n].clone()).collect();
            let recognize = WorkerRequest::RecognizeContrast { channels: ids, network, missing };
            match request(&recognize, None).await? {
                (WorkerResponse::Contrasts(found), _) => found,
                _ => return Err("the worker did not return the contrasts".to_string().into()),
            }
        }
    };
    page.check_current(token)?;
    let reason = if roles.len() == 1 && missing.len() == 1 {
        "the only missing channel"
    } else {
        "by its intensities: please check"
    };
    page.series.update(|series| {
        let undecided = series.iter_mut().filter(|entry| is_undecided(entry));
        for (entry, role) in undecided.zip(roles) {
            if let Some(channel) = role {
                let role = Role::Channel(missing[channel]);
                entry.proposal = Proposal { role, reason: reason.into() };
            }
        }
    });
    Ok(())
}

/// Fills the slots with the decoded channels of the used series.
pub fn fill_slots(page: Page) {
    let names = page.channel_names();
    let series = page.series.get_untracked();
    let channel = |n: usize| {
        series.iter().find_map(|entry| match entry.proposal.role {
            Role::Channel(channel) if channel == n => entry.loaded.first().cloned(),
            Role::AllChannels => entry.loaded.get(n).cloned(),
            _ => None,
        })
    };
    let slots = names.into_iter().enumerate();
    page.set_slots(slots.map(|(n, name)| ChannelSlot { name, loaded: channel(n) }).collect());
}
