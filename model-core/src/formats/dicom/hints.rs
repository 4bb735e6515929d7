//! The acquisition of a series, from the attributes that name no person, place or time.

use super::frame::Frame;
use super::identity::without_identity;
use super::tags::{self, Tag};
use crate::formats::summary::AcquisitionHints;

/// Words that some scanners write in the field of the contrast agent if there was none.
const NO_AGENT: [&str; 6] = ["no", "none", "n", "without", "no contrast", "nein"];

/// Returns the hints of the series of a slice.
pub fn hints(frame: &Frame) -> AcquisitionHints {
    let file = &frame.file;
    let text = |tag: Tag| file.text(tag).map(|text| without_identity(file, &text));
    let in_groups = |tag: Tag| {
        let own = file.data_set.items(tags::PER_FRAME_GROUPS).get(frame.index);
        let shared = file.data_set.items(tags::SHARED_GROUPS).first();
        [own, shared].into_iter().flatten().find_map(|item| item.range_in_groups(tag))
    };
    let decimal = |tag: Tag| {
        let range = in_groups(tag).or_else(|| file.data_set.range(tag))?;
        file.decimals_at(range).first().copied()
    };
    let agent = text(tags::CONTRAST_AGENT);
    AcquisitionHints {
        series_description: text(tags::SERIES_DESCRIPTION),
        protocol_name: text(tags::PROTOCOL_NAME),
        sequence_name: text(tags::SEQUENCE_NAME).or_else(|| text(tags::PULSE_SEQUENCE_NAME)),
        contrast_agent: agent.map(|agent| !NO_AGENT.contains(&agent.to_lowercase().as_str())),
        echo_time_ms: frame.kind.echo_time_ms,
        repetition_time_ms: decimal(tags::REPETITION_TIME),
        inversion_time_ms: frame.kind.inversion_time_ms,
        flip_angle_degrees: decimal(tags::FLIP_ANGLE),
        b_value: frame.kind.b_value,
        scanning_sequence: text(tags::SCANNING_SEQUENCE),
        modality: text(tags::MODALITY),
        image_type: text(tags::IMAGE_TYPE),
    }
}
