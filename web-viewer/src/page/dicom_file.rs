//! Saves the result as a segmentation object of the DICOM study that it belongs to.

use js_sys::Uint8Array;
use leptos::prelude::*;
use model_core::formats::study::ScanFormat;
use model_core::prepare::Role;

use super::browser;
use super::client::request;
use super::state::{Interruption, Page};
use crate::protocol::{SegmentationRequest, SeriesId, WorkerRequest, WorkerResponse};
use crate::share::SharedRegion;

/// Returns the DICOM series on whose grid the result lies, with the channel in it.
pub fn source_series(page: Page) -> Option<(SeriesId, usize)> {
    let reference =
        page.preparation.with(|preparation| preparation.as_ref().map(|p| p.reference))?;
    page.series.with(|series| {
        series.iter().find_map(|entry| {
            let channel = match entry.proposal.role {
                Role::Channel(n) if n == reference => 0,
                Role::AllChannels => reference,
                _ => return None,
            };
            let is_dicom = entry.summary.format == ScanFormat::Dicom;
            let id = SeriesId { study: entry.study.id(), index: entry.index };
            is_dicom.then_some((id, channel))
        })
    })
}

/// Saves the result. The page shows an error.
pub fn save(page: Page) {
    let source = untrack(|| source_series(page));
    let (Some(result), Some((series, channel))) = (page.result.get_untracked(), source) else {
        return page.show_error("a DICOM segmentation needs the DICOM series of the scan");
    };
    page.run(page.current_action(), async move {
        let labels = Uint8Array::from(result.labels.labels()).buffer();
        let write = WorkerRequest::WriteSegmentation {
            request: SegmentationRequest {
                series,
                channel,
                segments: result.regions.iter().map(SharedRegion::segment).collect(),
                algorithm: result.model.name.clone(),
                is_edited: result.num_edited > 0,
            },
            grid: result.labels.grid().clone(),
        };
        let (response, arrays) = request(&write, Some(labels.into())).await?;
        let WorkerResponse::Segmentation = response else {
            return Err(Interruption::Failed("the worker did not return the segmentation".into()));
        };
        let bytes = Uint8Array::from(arrays.get(0)).to_vec();
        let name = "segmentation_research_use_only.dcm";
        browser::save(name, "application/dicom", &bytes)
            .map_err(|error| format!("cannot save {name}: {}", browser::error_text(&error)))?;
        Ok(())
    });
}
