//! Opens studies and reads their series in the worker.

use std::rc::Rc;

use js_sys::{Array, Float32Array, Uint8Array};
use model_core::formats::study::{Identity, Series, SourceFile, Study};

use super::reply::Reply;
use super::state::STATE;
use crate::protocol::{ChannelId, SeriesId, WorkerResponse};

/// The longest side of a thumbnail in pixels.
const THUMBNAIL_PIXELS: usize = 96;

/// Finds the series in files and stores them. `patients` are those of the studies that are
/// open already.
///
/// # Errors
/// A message for the user if the files are of several patients, or of another patient than the open
/// studies.
pub fn open(resource: u32, paths: Vec<String>, patients: &[Identity], buffers: &Array) -> Reply {
    let bytes = buffers.iter().map(|buffer| Uint8Array::new(&buffer).to_vec());
    let files = paths.into_iter().zip(bytes).map(|(path, bytes)| SourceFile { path, bytes });
    let study = Rc::new(Study::open(files.collect()).map_err(|error| error.to_string())?);
    for patient in patients {
        study.identity().check_same(patient).map_err(|error| error.to_string())?;
    }
    STATE.with_borrow_mut(|state| state.studies.insert(resource, study.clone()));
    let series = study.series.iter().map(|series| series.summary().clone()).collect();
    let (mut thumbnails, mut arrays) = (Vec::new(), Vec::new());
    for series in &study.series {
        // A series that cannot be decoded is listed all the same, and its error told when it is read.
        let picture = series.thumbnail(THUMBNAIL_PIXELS).ok();
        thumbnails.push(picture.as_ref().map_or([0, 0], |picture| [picture.width, picture.height]));
        let pixels = picture.map_or(Vec::new(), |picture| picture.pixels);
        arrays.push(Uint8Array::from(&pixels[..]).into());
    }
    let refused = study.refused.iter().map(|(path, error)| (path.clone(), error.to_string()));
    let response = WorkerResponse::Study {
        patient: study.identity().clone(),
        series,
        thumbnails,
        notes: study.notes.clone(),
        refused: refused.collect(),
    };
    Ok((response, arrays))
}

/// Decodes a series and stores its channels.
///
/// # Errors
/// A message for the user if the study is not open or the series cannot be decoded.
pub fn read(series: SeriesId, resource: u32) -> Reply {
    let scan = with_series(series, |series| series.read().map_err(|error| error.to_string()))?;
    let grid = scan.volumes[0].grid().clone();
    let arrays = scan.volumes.iter().map(|volume| Float32Array::from(volume.values()).into());
    let arrays = arrays.collect();
    STATE.with_borrow_mut(|state| {
        let channels = scan.volumes.into_iter().enumerate();
        let channels =
            channels.map(|(channel, volume)| (ChannelId { resource, channel }, volume.into()));
        state.channels.extend(channels);
    });
    Ok((WorkerResponse::Scan { grid, warnings: scan.warnings }, arrays))
}

/// Calls `f` with a series of an open study.
///
/// # Errors
/// A message for the user if the study is not open; the errors of `f`.
pub fn with_series<T>(
    SeriesId { study, index }: SeriesId,
    f: impl FnOnce(&Series) -> Result<T, String>,
) -> Result<T, String> {
    let study = STATE.with_borrow(|state| state.studies.get(&study).cloned());
    let study = study.ok_or("the files are no longer open: choose them again")?;
    f(study.series.get(index).ok_or("the study has no such series")?)
}
