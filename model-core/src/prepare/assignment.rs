//! Proposes the channel of each series: by DICOM tags, by file names, and by the number of channels.

use crate::formats::SeriesSummary;
use crate::prepare::acquisition;
use crate::{ScanContent, ScanName, is_same_channel, takes_any_contrast};

/// The use of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Role {
    /// One of the task's channels, by its index.
    Channel(usize),
    /// All channels of the task, in their order.
    AllChannels,
    /// Not known: a channel that is still missing, perhaps.
    Undecided,
    /// Left aside.
    Spare,
}

/// A proposed use of a series.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Proposal {
    /// The use.
    pub role: Role,
    /// The reason in words, as the end of a sentence about the series.
    pub reason: String,
}

/// A series that competes for a channel.
struct Claim {
    series: usize,
    channel: usize,
    /// Words for the processing of the scan. Unprocessed scans are preferred.
    variant: String,
    reason: String,
}

/// Proposes the use of each series for a task's channels. Each channel is assigned at most once.
///
/// Of several series for a channel, an unprocessed one is preferred, then the one with the smallest
/// voxels, then the first.
pub fn propose(series: &[SeriesSummary], channels: &[String]) -> Vec<Proposal> {
    let mut claims = Vec::new();
    let mut proposals: Vec<Proposal> = series
        .iter()
        .enumerate()
        .map(|(n, summary)| {
            let (proposal, claim) = proposal(n, summary, channels);
            claims.extend(claim);
            proposal
        })
        .collect();
    let voxel_mm3 = |n: usize| series[n].spacing_mm.iter().product::<f64>();
    claims.sort_by(|a, b| {
        let by_size = voxel_mm3(a.series).total_cmp(&voxel_mm3(b.series));
        a.variant.cmp(&b.variant).then(by_size).then(a.series.cmp(&b.series))
    });
    let mut is_assigned = vec![false; channels.len()];
    for Claim { series, channel, reason, .. } in claims {
        proposals[series] = match std::mem::replace(&mut is_assigned[channel], true) {
            false => Proposal { role: Role::Channel(channel), reason },
            true => spare(format!("a second series of {} ({reason})", channels[channel])),
        };
    }
    proposals
}

fn spare(reason: impl Into<String>) -> Proposal {
    Proposal { role: Role::Spare, reason: reason.into() }
}

/// Returns the proposal for one series, and its claim to a channel.
fn proposal(n: usize, summary: &SeriesSummary, channels: &[String]) -> (Proposal, Option<Claim>) {
    let undecided = |reason: &str| Proposal { role: Role::Undecided, reason: reason.into() };
    if summary.num_channels > 1 {
        let found = summary.num_channels;
        let proposal = match found == channels.len() {
            true => Proposal { role: Role::AllChannels, reason: "it has all channels".into() },
            false => spare(format!("it has {found} channels, the model {}", channels.len())),
        };
        return (proposal, None);
    }
    let claim = |channel, variant, reason: String| {
        let claim = Claim { series: n, channel, variant, reason };
        (undecided(""), Some(claim))
    };
    let name = ScanName::parse(&summary.name, channels);
    if let Some(contrast) = acquisition::contrast(&summary.hints) {
        let is_it = |channel: &String| is_same_channel(channel, contrast.name);
        return match channels.iter().position(is_it) {
            Some(channel) => claim(channel, String::new(), contrast.reason),
            None if takes_any_contrast(channels) && contrast.name != "localizer" => {
                (undecided(&contrast.reason), None)
            }
            None => (spare(format!("another kind of scan: {}", contrast.reason)), None),
        };
    }
    let word = name.word;
    match name.content {
        ScanContent::Channel(channel) => {
            claim(channel, name.variant, format!("its name states \u{201c}{word}\u{201d}"))
        }
        ScanContent::Numbered(number) if number < channels.len() => {
            claim(number, name.variant, format!("its name ends with {number:04}"))
        }
        ScanContent::Numbered(number) => (spare(format!("channel {number:04}")), None),
        ScanContent::OtherChannel if takes_any_contrast(channels) => (undecided(""), None),
        ScanContent::OtherChannel => (spare(format!("another channel ({word})")), None),
        ScanContent::Labels => (spare(format!("labels ({word})")), None),
        ScanContent::OtherMask => (spare(format!("a mask ({word})")), None),
        ScanContent::Unknown => (undecided("its name states no channel"), None),
    }
}
