//! Prepares one examination.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use model_core::brain::BRAIN_NETWORK;
use model_core::formats::study::{SeriesScan, SeriesSummary, Study};
use model_core::prepare::{
    self, Brain, BrainChoice, ContrastDistances, PlacementChoice, PlacementSettings,
    PreparationRecord, Proposal, Role, apply_brain, find_brain, most_likely, propose,
};
use model_core::{Bundle, Card, LabelMap, Volume, is_same_channel};
use trainer_run::reporter::Reporter;

use crate::sources;

/// The settings of a preparation.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The series that the user chose for channels: the channel's name, and the number of the series
    /// in the listing from 1, or a part of its name or path.
    pub assigned: Vec<(String, String)>,
    /// The channel whose grid is kept, by its name.
    pub reference: Option<String>,
    /// The placement. Its reference is that of `reference`.
    pub placement: PlacementSettings,
    /// The treatment of the skull.
    pub brain: BrainChoice,
    /// A mask of the brain to be used instead.
    pub mask: Option<LabelMap>,
    /// Whether channels may be missing although the model was not trained for it.
    pub allows_missing: bool,
}

/// The series of an examination with their roles.
pub struct Examination {
    /// The series.
    pub study: Study,
    /// The proposed use of each series.
    pub proposals: Vec<Proposal>,
}

/// A prepared examination.
pub struct Prepared {
    /// A volume for each channel of the task, on one grid. Missing channels are zeros.
    pub channels: Vec<Volume>,
    /// The mask of the brain, if it was extracted: label 1.
    pub mask: Option<LabelMap>,
    /// The steps.
    pub record: PreparationRecord,
    /// The name of the series of each channel, for messages only: it may name a person.
    pub series: Vec<Option<String>>,
    /// Warnings about the files, one sentence each.
    pub warnings: Vec<String>,
}

impl Examination {
    /// Reads the files of an examination, and proposes a use for each of its series.
    ///
    /// # Errors
    /// Errors if the files cannot be read, hold no scan, or belong to several patients.
    pub fn open(
        paths: &[PathBuf],
        channels: &[String],
        settings: &Settings,
        reporter: &dyn Reporter,
    ) -> Result<Examination> {
        let study = Study::open(sources::read(paths, reporter)?)?;
        let summaries: Vec<SeriesSummary> =
            study.series.iter().map(|series| series.summary().clone()).collect();
        let proposals = propose(&summaries, channels);
        let mut examination = Examination { study, proposals };
        for (channel, series) in &settings.assigned {
            let is_it = |name: &&String| is_same_channel(name, channel);
            let channel = channels.iter().position(|name| is_it(&name)).with_context(|| {
                let known = channels.join(", ");
                format!("--assign: expected a channel of the model ({known}), found {channel:?}")
            })?;
            let series = find_series(&summaries, series)?;
            examination.assign(series, channel, "you chose this");
        }
        Ok(examination)
    }

    /// Gives a series a channel, and sets aside the series that had it.
    fn assign(&mut self, series: usize, channel: usize, reason: &str) {
        for proposal in &mut self.proposals {
            if proposal.role == Role::Channel(channel) {
                *proposal = Proposal { role: Role::Spare, reason: "replaced by another".into() };
            }
        }
        self.proposals[series] =
            Proposal { role: Role::Channel(channel), reason: reason.to_string() };
    }

    /// Prepares the examination for a model.
    ///
    /// # Errors
    /// Errors if a channel is missing and the model does not tolerate it, or if a series cannot be
    /// decoded, placed or stripped.
    pub fn prepare(
        &mut self,
        card: &Card,
        settings: &Settings,
        reporter: &dyn Reporter,
    ) -> Result<Prepared> {
        let names = &card.task.channels;
        let network = Bundle::from_bytes(BRAIN_NETWORK)?;
        self.decide_by_intensity(names, &network, reporter)?;
        let (scans, series, warnings) = self.read(names, reporter)?;
        self.check_missing(&scans, card, settings)?;
        let reference = match &settings.reference {
            None => None,
            Some(name) => {
                let index = names.iter().position(|channel| is_same_channel(channel, name));
                Some(index.with_context(|| {
                    let known = names.join(", ");
                    format!(
                        "--reference: expected a channel of the model ({known}), found {name:?}"
                    )
                })?)
            }
        };
        let mut placement = PlacementSettings { reference, ..settings.placement.clone() };
        let is_one_file = self.proposals.iter().any(|p| p.role == Role::AllChannels);
        if is_one_file && placement.choices == [PlacementChoice::Automatic] {
            // The channels of one file are placed already.
            placement.choices = vec![PlacementChoice::AsStored];
        }
        let volumes: Vec<Option<&Volume>> = scans.iter().map(Option::as_ref).collect();
        let progress = reporter.start_task("placing on one grid", None);
        let control = &mut |fraction: f32| {
            progress.describe_item(&format!("{:.0} %", 100.0 * fraction));
            ControlFlow::Continue(())
        };
        let placed = prepare::place(&volumes, names, &placement, control)?;
        let placed = placed.context("the placement was canceled")?;
        drop(progress);
        let progress = reporter.start_task("finding the brain", None);
        let control = &mut |fraction: f32| {
            progress.describe_item(&format!("{:.0} %", 100.0 * fraction));
            ControlFlow::Continue(())
        };
        let present = placed.volumes.iter().zip(&scans).filter(|(_, scan)| scan.is_some());
        let present: Vec<&Volume> = present.map(|(volume, _)| &**volume).collect();
        let brain = match &settings.mask {
            Some(mask) => Brain::Mask(on_grid(mask, present[0])?),
            None => find_brain(&present, settings.brain, &card.preprocess, &network, control)?
                .context("the brain extraction was canceled")?,
        };
        drop(progress);
        let record = PreparationRecord {
            reference: names[placed.reference].clone(),
            channels: placed.records,
            brain: brain.step(settings.mask.is_some()),
        };
        let mut volumes = placed.volumes;
        let mask = match brain {
            Brain::Mask(mask) => {
                apply_brain(&mut volumes, &mask);
                Some(mask)
            }
            _ => None,
        };
        let channels = volumes.into_iter().map(Cow::into_owned).collect();
        Ok(Prepared { channels, mask, record, series, warnings })
    }

    /// Decodes the series of the channels. Returns also the names of the series, and warnings.
    #[allow(clippy::type_complexity)] // Three values of one pass.
    fn read(
        &self,
        names: &[String],
        reporter: &dyn Reporter,
    ) -> Result<(Vec<Option<Volume>>, Vec<Option<String>>, Vec<String>)> {
        let mut scans: Vec<Option<Volume>> = names.iter().map(|_| None).collect();
        let mut series_names: Vec<Option<String>> = vec![None; names.len()];
        let mut warnings = Vec::new();
        let progress = reporter.start_task("decoding", None);
        for (series, proposal) in self.study.series.iter().zip(&self.proposals) {
            let name = &series.summary().name;
            let first = match proposal.role {
                Role::Channel(channel) => channel,
                Role::AllChannels => 0,
                Role::Undecided | Role::Spare => continue,
            };
            progress.describe_item(name);
            let SeriesScan { volumes, warnings: found } = series.read()?;
            warnings.extend(found.into_iter().map(|text| format!("{text} (in {name})")));
            for (n, volume) in volumes.into_iter().enumerate() {
                (scans[first + n], series_names[first + n]) = (Some(volume), Some(name.clone()));
            }
        }
        Ok((scans, series_names, warnings))
    }

    /// Assigns undecided series to missing channels by their intensities.
    fn decide_by_intensity(
        &mut self,
        names: &[String],
        network: &Bundle,
        reporter: &dyn Reporter,
    ) -> Result<()> {
        let roles: Vec<Role> = self.proposals.iter().map(|proposal| proposal.role).collect();
        let has_all = roles.contains(&Role::AllChannels);
        let missing: Vec<usize> =
            (0..names.len()).filter(|&n| !has_all && !roles.contains(&Role::Channel(n))).collect();
        let undecided: Vec<usize> =
            (0..roles.len()).filter(|&n| roles[n] == Role::Undecided).collect();
        match (&missing[..], &undecided[..]) {
            ([], _) | (_, []) => Ok(()),
            ([channel], [series]) => {
                self.assign(*series, *channel, "the only missing channel");
                Ok(())
            }
            _ if model_core::takes_any_contrast(names) => bail!(
                "expected one series for {}, found {} that could be it: choose one with --assign",
                names[0],
                undecided.len()
            ),
            _ => {
                let mut distances = Vec::new();
                let progress =
                    reporter.start_task("recognizing series", Some(undecided.len() as u64));
                for &series in &undecided {
                    let scan = self.study.series[series].read()?;
                    let control = &mut |_: f32| ControlFlow::Continue(());
                    let scan = &scan.volumes[0];
                    distances.push(ContrastDistances::of_scan(scan, network, control)?);
                    progress.advance();
                }
                let channels: Vec<String> = missing.iter().map(|&n| names[n].clone()).collect();
                let found = most_likely(&distances, &channels);
                for (&series, channel) in undecided.iter().zip(found) {
                    if let Some(channel) = channel {
                        let reason = "by its intensities: please check";
                        self.assign(series, missing[channel], reason);
                    }
                }
                Ok(())
            }
        }
    }

    /// Errors if channels are missing that the model needs.
    fn check_missing(
        &self,
        scans: &[Option<Volume>],
        card: &Card,
        settings: &Settings,
    ) -> Result<()> {
        let names = card.task.channels.iter().zip(scans);
        let missing: Vec<&str> =
            names.filter(|(_, scan)| scan.is_none()).map(|(name, _)| name.as_str()).collect();
        let is_tolerated = card.provenance.channel_dropout > 0.0 || settings.allows_missing;
        ensure!(
            missing.len() < scans.len(),
            "expected series of {}, found none:\n{}",
            card.task.channels.join(", "),
            self.listing(&card.task.channels)
        );
        ensure!(
            missing.is_empty() || is_tolerated,
            "expected a series for every channel, found none for {}. The model was not trained to \
             tolerate this; --allow-missing runs it in spite of that. --assign CHANNEL=NUMBER chooses \
             a series:\n{}",
            missing.join(", "),
            self.listing(&card.task.channels)
        );
        Ok(())
    }

    /// Lists the series with their use, and what is known of the other files.
    pub fn listing(&self, channels: &[String]) -> String {
        crate::listing::text(&self.study, Some((&self.proposals, channels)))
    }
}

/// Returns the index of a series by its number from 1, or by a part of its name or path.
fn find_series(series: &[SeriesSummary], text: &str) -> Result<usize> {
    if let Ok(number) = text.parse::<usize>() {
        ensure!(
            (1..=series.len()).contains(&number),
            "--assign: expected the number of a series from 1 to {}, found {number}",
            series.len()
        );
        return Ok(number - 1);
    }
    let is_named = |summary: &SeriesSummary| summary.name == text;
    let contains =
        |summary: &SeriesSummary| summary.name.contains(text) || summary.path.contains(text);
    let matches = |test: &dyn Fn(&SeriesSummary) -> bool| -> Vec<usize> {
        (0..series.len()).filter(|&n| test(&series[n])).collect()
    };
    let mut found = matches(&is_named);
    if found.is_empty() {
        found = matches(&contains);
    }
    match found[..] {
        [index] => Ok(index),
        _ => bail!(
            "--assign: expected one series that {text:?} names, found {}; a number names it too",
            found.len()
        ),
    }
}

/// Returns a mask in the axis order of a volume.
fn on_grid(mask: &LabelMap, volume: &Volume) -> Result<LabelMap> {
    let grid = volume.grid();
    let alignment = grid.align(mask.grid(), model_core::DEFAULT_TOLERANCE_VOXELS);
    let alignment = alignment.context("--brain-mask: expected a mask on the reference's grid")?;
    let labels = alignment.reorder(mask.labels().to_vec());
    let labels = labels.into_iter().map(|label| u8::from(label != 0)).collect();
    Ok(LabelMap::new(grid.clone(), labels)?)
}
