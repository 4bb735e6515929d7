//! Recognizes localizers: few slices in several planes, for the planning of the examination.

use super::file::DicomFile;
use super::frame::Frame;
use super::identity::without_identity;
use super::stack::counted;
use super::tags;

/// The most slices of one plane in a localizer.
const MAX_SLICES: usize = 15;

/// Words of a description that mean a localizer.
const WORDS: [&str; 7] = ["localizer", "localiser", "scout", "survey", "3-pl", "3 pl", "3pl"];

/// Returns the sentence about a series that is a localizer, from its slices by plane; `None` if it
/// is a scan.
pub fn set_localizers_aside(first: &DicomFile, groups: &[Vec<Frame>]) -> Option<String> {
    let image_type = first.text(tags::IMAGE_TYPE).unwrap_or_default();
    let is_stated = image_type.split('\\').any(|word| word.trim() == "LOCALIZER");
    let description = first.text(tags::SERIES_DESCRIPTION).unwrap_or_default();
    let lower = description.to_lowercase();
    let is_named = WORDS.iter().any(|word| lower.contains(word)) || lower == "loc";
    let normals = groups.iter().map(|group| group[0].normal());
    let has_planes = normals.clone().any(|a| normals.clone().any(|b| a.dot(b).abs() < 0.7));
    let is_small = groups.iter().all(|group| group.len() <= MAX_SLICES);
    let is_localizer = is_small && (is_stated || has_planes || is_named);
    is_localizer.then(|| {
        let count: usize = groups.iter().map(Vec::len).sum();
        let description = without_identity(first, &description);
        let name = if description.is_empty() { "A series" } else { &description };
        let slices = counted(count as u64, "slice", "slices");
        format!("{name} was set aside: a localizer of {slices}.")
    })
}
