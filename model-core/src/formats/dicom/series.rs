//! Arranges the files of a study to series.

use std::sync::Arc;

use glam::DVec3;

use super::file::{DicomFile, FORMAT};
use super::frame::{Frame, frames};
use super::hints::hints;
use super::image::{Content, content};
use super::localizer::set_localizers_aside;
use super::pixels;
use super::stack::{Stack, counted};
use super::tags;
use crate::formats::nifti::MAX_VOXEL_BYTES;
use crate::formats::summary::{Plane, ScanFormat, SeriesSummary};
use crate::{Error, Grid, Result, Volume};

/// Slices whose directions differ by a larger angle's sine belong to different series.
const SAME_DIRECTION: f64 = 1e-3;

/// A series of slices whose pixels are not decoded yet.
#[derive(Debug)]
pub struct DicomSeries {
    /// The description.
    pub summary: SeriesSummary,
    pub(super) stack: Stack,
}

/// Series, and what is told about the other files.
#[derive(Debug, Default)]
pub struct Arranged {
    pub series: Vec<DicomSeries>,
    pub notes: Vec<String>,
    pub refused: Vec<(String, Error)>,
}

/// The files of one `SeriesInstanceUID`.
pub struct SeriesFiles {
    pub uid: Option<String>,
    pub first: Arc<DicomFile>,
    pub frames: Vec<Frame>,
    /// The number of files that cannot be read.
    pub num_damaged: u64,
}

/// Arranges the files of one patient to series.
pub fn arrange(files: Vec<DicomFile>) -> Arranged {
    let mut arranged = Arranged::default();
    let mut others: Vec<(&'static str, u64)> = Vec::new();
    let mut all: Vec<SeriesFiles> = Vec::new();
    if !files.is_empty() && files.iter().all(|file| file.is_directory) {
        arranged.notes.push("A directory (DICOMDIR) was given without its files.".to_string());
    }
    // A directory is not needed: the files are found by their contents.
    for file in files.into_iter().filter(|file| !file.is_directory).map(Arc::new) {
        let damage =
            file.damage.as_ref().map(|damage| Error::format(FORMAT, "a whole file", damage));
        let read = content(&file).and_then(|content| match (damage, content) {
            (Some(damage), Content::Image(_)) => Err(damage),
            (_, content) => Ok(content),
        });
        match read {
            Ok(Content::Other(name)) => match others.iter_mut().find(|(other, _)| *other == name) {
                Some((_, count)) => *count += 1,
                None => others.push((name, 1)),
            },
            Ok(Content::Image(form)) => {
                series_of(&mut all, &file).frames.extend(frames(&file, form));
            }
            Err(error) => {
                series_of(&mut all, &file).num_damaged += 1;
                arranged.refused.push((file.path.clone(), error.in_file(&file.path)));
            }
        }
    }
    arranged.notes.extend(others.iter().map(|(name, count)| {
        format!("{} set aside: {name}.", counted(*count, "file was", "files were"))
    }));
    all.retain(|series| !series.frames.is_empty());
    let number =
        |series: &SeriesFiles| series.first.decimal(tags::SERIES_NUMBER).unwrap_or(f64::MAX);
    all.sort_by(|a, b| number(a).total_cmp(&number(b)));
    let studies = studies(&all, &mut arranged.notes);
    let references = distinct(all.iter().map(|s| s.first.text(tags::FRAME_OF_REFERENCE)));
    for series in all {
        let study = series.first.text(tags::STUDY_UID);
        let study = studies.iter().position(|other| *other == study).unwrap_or(0) + 1;
        let reference = series.first.text(tags::FRAME_OF_REFERENCE);
        let reference = reference.and_then(|uid| references.iter().position(|r| *r == uid));
        let groups = by_kind(&series.frames);
        if let Some(note) = set_localizers_aside(&series.first, &groups) {
            arranged.notes.push(note);
            continue;
        }
        let several = groups.len() > 1;
        for group in &groups {
            let mut made = DicomSeries::new(&series, group.clone());
            made.summary.study = study;
            made.summary.frame_of_reference = reference.map(|n| n + 1);
            if several {
                made.summary.name += &difference(&groups, group);
            }
            arranged.series.push(made);
        }
    }
    arranged.series.sort_by_key(|series| series.summary.study);
    arranged
}

/// Returns the distinct values in the order of their appearance.
fn distinct<T: PartialEq>(values: impl Iterator<Item = Option<T>>) -> Vec<T> {
    let mut out = Vec::new();
    for value in values.flatten() {
        if !out.contains(&value) {
            out.push(value);
        }
    }
    out
}

/// Returns the entry of a file's series, or a new one.
fn series_of<'a>(all: &'a mut Vec<SeriesFiles>, file: &Arc<DicomFile>) -> &'a mut SeriesFiles {
    let uid = file.text(tags::SERIES_UID);
    let known = all.iter().position(|series| series.uid == uid && uid.is_some());
    let at = known.unwrap_or_else(|| {
        all.push(SeriesFiles { uid, first: file.clone(), frames: Vec::new(), num_damaged: 0 });
        all.len() - 1
    });
    &mut all[at]
}

/// Returns the UIDs of the studies by their dates. Notes that there are several.
fn studies(all: &[SeriesFiles], notes: &mut Vec<String>) -> Vec<Option<String>> {
    let mut studies: Vec<([Option<String>; 2], Option<String>)> = Vec::new();
    for series in all {
        let uid = series.first.text(tags::STUDY_UID);
        if !studies.iter().any(|(_, other)| *other == uid) {
            let when = [tags::STUDY_DATE, tags::STUDY_TIME].map(|tag| series.first.text(tag));
            studies.push((when, uid));
        }
    }
    studies.sort();
    if studies.len() > 1 {
        notes.push(format!(
            "The files belong to {} examinations of one patient. They are numbered by date.",
            studies.len()
        ));
    }
    studies.into_iter().map(|(_, uid)| uid).collect()
}

/// Divides the slices of a series by directions, size and kind.
fn by_kind(frames: &[Frame]) -> Vec<Vec<Frame>> {
    let mut groups: Vec<Vec<Frame>> = Vec::new();
    for frame in frames {
        match groups.iter_mut().find(|group| is_same_kind(&group[0], frame)) {
            Some(group) => group.push(frame.clone()),
            None => groups.push(vec![frame.clone()]),
        }
    }
    groups
}

fn is_same_kind(a: &Frame, b: &Frame) -> bool {
    let is_near = |a: DVec3, b: DVec3| a.distance(b) < SAME_DIRECTION;
    let is_same = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-3 * a.abs().max(b.abs()),
        (a, b) => a == b,
    };
    let is_same_form = a.form.rows == b.form.rows && a.form.columns == b.form.columns;
    is_same_form
        && (0..2).all(|n| is_near(a.directions[n], b.directions[n]))
        && (0..2).all(|n| is_same(Some(a.spacing_mm[n]), Some(b.spacing_mm[n])))
        && a.position.is_some() == b.position.is_some()
        && is_same(a.kind.echo_time_ms, b.kind.echo_time_ms)
        && is_same(a.kind.inversion_time_ms, b.kind.inversion_time_ms)
        && is_same(a.kind.b_value, b.kind.b_value)
        && a.kind.image_type == b.kind.image_type
        && a.kind.stack == b.kind.stack
}

/// Returns what distinguishes a group from the others of its series, to be added to the name.
fn difference(groups: &[Vec<Frame>], group: &[Frame]) -> String {
    let kind = &group[0].kind;
    let differs = |same: &dyn Fn(&Frame) -> bool| !groups.iter().all(|other| same(&other[0]));
    let mut parts = Vec::new();
    let numbers = [
        ("TE", kind.echo_time_ms, " ms"),
        ("TI", kind.inversion_time_ms, " ms"),
        ("b", kind.b_value, ""),
    ];
    let others: [fn(&Frame) -> Option<f64>; 3] =
        [|f| f.kind.echo_time_ms, |f| f.kind.inversion_time_ms, |f| f.kind.b_value];
    for ((name, value, unit), other) in numbers.into_iter().zip(others) {
        if let Some(number) = value
            && differs(&|frame| other(frame) == value)
        {
            parts.push(format!("{name} {}{unit}", (number * 100.0).round() / 100.0));
        }
    }
    if differs(&|frame| frame.kind.image_type == kind.image_type) {
        parts.push(kind.image_type.join(" "));
    }
    if differs(&|frame| (frame.directions[0] - group[0].directions[0]).length() < SAME_DIRECTION) {
        let plane = Plane::from_affine(&Stack::new(group.to_vec()).world_from_voxel);
        parts.push(plane.name().to_string());
    }
    if parts.is_empty() {
        let at = groups.iter().position(|other| std::ptr::eq(other.as_slice(), group)).unwrap_or(0);
        parts.push(format!("part {}", at + 1));
    }
    format!(" ({})", parts.join(", "))
}

impl DicomSeries {
    fn new(series: &SeriesFiles, frames: Vec<Frame>) -> DicomSeries {
        let first = frames[0].file.clone();
        let form = frames[0].form;
        let mut files: Vec<&Arc<DicomFile>> = frames.iter().map(|frame| &frame.file).collect();
        files.sort_by_key(|file| Arc::as_ptr(file));
        files.dedup_by_key(|file| Arc::as_ptr(file));
        let (num_files, bytes) = (files.len(), files.iter().map(|f| f.bytes.len() as u64).sum());
        let hints = hints(&frames[0]);
        let stack = Stack::new(frames);
        let num_slices = stack.channels.first().map_or(0, Vec::len);
        let mut warnings = stack.warnings.clone();
        if series.num_damaged > 0 {
            let count = counted(series.num_damaged, "file", "files");
            warnings.push(format!("The series is incomplete: {count} of it cannot be read."));
        }
        let file_name = first.path.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = hints.series_description.clone().or_else(|| hints.protocol_name.clone());
        let problem = stack.problem.clone();
        let problem = problem.map(|[expected, found]| Error::scan(expected, found));
        let problem = problem.or_else(|| pixels::check_codec(&first).err());
        let summary = SeriesSummary {
            name: name.unwrap_or_else(|| file_name.to_string()),
            format: ScanFormat::Dicom,
            path: first.path.clone(),
            dims: [form.columns, form.rows, num_slices],
            spacing_mm: stack.world_from_voxel.spacing_mm(),
            world_from_voxel: stack.world_from_voxel,
            num_channels: stack.channels.len(),
            plane: Plane::from_affine(&stack.world_from_voxel),
            hints,
            study: 1,
            frame_of_reference: None,
            num_files,
            bytes,
            problem: problem.map(|error| error.to_string()),
            warnings,
        };
        DicomSeries { summary, stack }
    }

    /// Decodes all slices.
    ///
    /// # Errors
    /// [`Error::Scan`] if slices are missing, [`Error::Format`] with the file's path if one cannot
    /// be decoded, [`Error::Geometry`], [`Error::TooLarge`].
    pub fn read(&self) -> Result<Vec<Volume>> {
        if let Some([expected, found]) = &self.stack.problem {
            return Err(Error::scan(expected, found));
        }
        let dims = self.summary.dims;
        let num_voxels = dims.iter().map(|&n| n as u64).product::<u64>();
        let found_bytes = num_voxels.saturating_mul(4 * self.summary.num_channels as u64);
        if found_bytes > MAX_VOXEL_BYTES {
            let limit_bytes = MAX_VOXEL_BYTES;
            return Err(Error::TooLarge { what: "the scan", limit_bytes, found_bytes });
        }
        self.stack.world_from_voxel.check()?;
        let volume = |frames: &Vec<Frame>| {
            let mut values = Vec::new();
            frames.iter().try_for_each(|frame| pixels::decode(frame, &mut values))?;
            Volume::new(Grid::new(dims, self.stack.world_from_voxel), values)
        };
        self.stack.channels.iter().map(volume).collect()
    }

    /// Decodes the middle slice of the first volume, row by row.
    ///
    /// # Errors
    /// [`Error::Format`] with the file's path.
    pub fn middle_slice(&self) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        let frames = self.stack.channels.first().map_or(&[][..], Vec::as_slice);
        if let Some(frame) = frames.get(frames.len() / 2) {
            pixels::decode(frame, &mut values)?;
        }
        Ok(values)
    }
}
