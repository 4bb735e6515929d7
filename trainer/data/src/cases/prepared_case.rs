//! A preprocessed case with labels.

use anyhow::{Context, Result};
use model_core::{Case, Input, LabelMap, Placement, PreprocessConfig, UNetConfig, preprocess};

/// The largest number of foreground voxels per label that are stored to center patches on.
pub(super) const MAX_CENTERS: usize = 20_000;

/// A case that is ready for training and validation.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedCase {
    /// The network's input.
    pub input: Input,
    /// Label codes on the input's grid.
    pub labels: Vec<u8>,
    /// For each label that is present, the indices in `labels` of some of its voxels.
    pub centers_by_label: Vec<Vec<u32>>,
    /// Maps predictions back to the scan's grid.
    pub placement: Placement,
}

impl PreparedCase {
    pub(super) fn bytes(&self) -> u64 {
        let centers: usize = self.centers_by_label.iter().map(Vec::len).sum();
        (4 * self.input.values.len() + self.labels.len() + 4 * centers) as u64
    }
}

/// Preprocesses a case with labels. Returns the labels on the scan's grid too.
///
/// # Errors
/// Errors if the case has no labels or cannot be preprocessed.
pub fn prepare_case(
    case: Case,
    config: &PreprocessConfig,
    network: &UNetConfig,
) -> Result<(PreparedCase, LabelMap)> {
    let (channels, labels) = case.into_channels_and_labels();
    let reference = labels.context("expected labels, found none")?;
    let (input, placement) = preprocess(&channels, config, network)?;
    drop(channels);
    let labels = placement.place_labels(&reference);
    let mut counts = [0usize; 256];
    labels.iter().for_each(|&code| counts[usize::from(code)] += 1);
    // Every n-th voxel of a label, starting with its first.
    let steps = counts.map(|count| count.div_ceil(MAX_CENTERS));
    let mut seen = [0usize; 256];
    let mut centers_by_label: Vec<Vec<u32>> = vec![Vec::new(); 256];
    for (place, &code) in labels.iter().enumerate().filter(|(_, code)| **code != 0) {
        let code = usize::from(code);
        if seen[code].is_multiple_of(steps[code]) {
            centers_by_label[code].push(place as u32);
        }
        seen[code] += 1;
    }
    centers_by_label.retain(|places| !places.is_empty());
    centers_by_label.iter_mut().for_each(Vec::shrink_to_fit);
    Ok((PreparedCase { input, labels, centers_by_label, placement }, reference))
}
