//! Writes files that need an opened study, whose names and identifiers never leave the worker otherwise.

use js_sys::{Date, Uint8Array};
use model_core::formats::segmentation::{DicomSegmentation, LocalTime};
use model_core::{Grid, LabelMap};

use super::reply::{Reply, scope};
use super::study;
use crate::protocol::{SegmentationRequest, WorkerResponse};

/// Writes a segmentation of a series in DICOM.
///
/// # Errors
/// A message for the user if the study is not open, the map is not on the series' grid, or the series
/// lacks what a segmentation refers to.
pub fn write_segmentation(request: SegmentationRequest, grid: Grid, labels: Vec<u8>) -> Reply {
    let SegmentationRequest { series, channel, segments, algorithm, is_edited } = request;
    let map = LabelMap::new(grid, labels).map_err(|error| error.to_string())?;
    let (created, random_bits) = (now()?, random_bits()?);
    let segmentation = DicomSegmentation { segments, algorithm, is_edited, created, random_bits };
    let bytes = study::with_series(series, |series| {
        series.write_segmentation(channel, &map, &segmentation).map_err(|error| error.to_string())
    })?;
    Ok((WorkerResponse::Segmentation, vec![Uint8Array::from(&bytes[..]).into()]))
}

/// Returns the user's time.
fn now() -> Result<LocalTime, String> {
    let date = Date::new_0();
    let numbers = [
        date.get_full_year(),
        date.get_month() + 1,
        date.get_date(),
        date.get_hours(),
        date.get_minutes(),
        date.get_seconds(),
    ];
    LocalTime::new(numbers.map(|number| number as u16)).map_err(|error| error.to_string())
}

/// Returns random numbers of the browser's generator for cryptography.
fn random_bits() -> Result<[u128; 4], String> {
    const UNAVAILABLE: &str =
        "this browser gives no random numbers, which a file's identifiers need";
    let crypto = scope().crypto().map_err(|_| UNAVAILABLE)?;
    let mut numbers = [0; 4];
    for number in &mut numbers {
        let mut bytes = [0; 16];
        crypto.get_random_values_with_u8_array(&mut bytes).map_err(|_| UNAVAILABLE)?;
        *number = u128::from_le_bytes(bytes);
    }
    Ok(numbers)
}
