//! Opens a result that the page saved: a label map with a comment about it.

use js_sys::Uint8Array;
use leptos::prelude::*;
use model_core::formats::nifti;

use super::series::ScanFile;
use super::state::{Interruption, Page};
use crate::messages;
use crate::share::{self, SharedResult};
use crate::slice::central_labeled_voxel;

/// The bytes at the beginning of a file in which its comment is looked for.
const PREFIX_BYTES: u32 = 128 << 10;

/// Divides files into scans and the results that the page saved.
///
/// # Errors
/// A message for the user if there is more than one result, or it is damaged.
pub fn take_result(files: Vec<ScanFile>) -> Result<(Vec<ScanFile>, Option<SharedResult>), String> {
    let (mut scans, mut found) = (Vec::new(), None);
    for file in files {
        let bytes = Uint8Array::new(&file.bytes);
        let prefix = bytes.subarray(0, PREFIX_BYTES).to_vec();
        let comment = nifti::comment(&prefix).filter(|text| share::is_share_fragment(text));
        let Some(comment) = comment else {
            scans.push(file);
            continue;
        };
        if found.is_some() {
            return Err(messages::SEVERAL_RESULTS.into());
        }
        let in_file = |error: String| format!("{error} (in {})", file.path);
        let labels = nifti::read_labels(&bytes.to_vec()).map_err(|e| in_file(e.to_string()))?;
        if let Some(result) = share::read_file(&comment, labels) {
            found = Some(result.map_err(|error| in_file(error.to_string()))?);
        }
    }
    Ok((scans, found))
}

/// Shows a saved result over the scans that are open, or by itself if there are none.
pub fn show_saved(page: Page, result: SharedResult) -> Result<(), Interruption> {
    let central_voxel = central_labeled_voxel(&result.labels);
    let shown = untrack(|| page.shown_channel());
    if let Some(shown) = &shown {
        let same = result.labels.grid().check_same(shown.volume.grid());
        same.map_err(|error| format!("the saved result is of another scan: {error}"))?;
        page.clear_result();
    } else {
        page.is_from_link.set(true);
        page.reset_slots(vec!["Scan".into()]);
    }
    page.convention.set(result.convention);
    page.show_result(result, central_voxel);
    page.update_status();
    Ok(())
}
