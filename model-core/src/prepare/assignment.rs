//! Proposes the channel of each series: by DICOM tags, by file names, and by the number of channels.

use crate::formats::study::SeriesSummary;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affine;
    use crate::formats::study::{AcquisitionHints, Plane, ScanFormat};

    fn file(name: &str) -> SeriesSummary {
        SeriesSummary {
            name: name.into(),
            format: ScanFormat::Nifti,
            path: name.into(),
            dims: [240, 240, 155],
            spacing_mm: [1.0; 3],
            world_from_voxel: Affine::IDENTITY,
            num_channels: 1,
            plane: Plane::Axial,
            hints: AcquisitionHints::default(),
            study: 1,
            frame_of_reference: None,
            num_files: 1,
            bytes: 1,
            problem: None,
            warnings: Vec::new(),
        }
    }

    fn series(description: &str, thickness_mm: f64) -> SeriesSummary {
        let hints = AcquisitionHints {
            modality: Some("MR".into()),
            series_description: Some(description.into()),
            ..AcquisitionHints::default()
        };
        SeriesSummary { hints, spacing_mm: [1.0, 1.0, thickness_mm], ..file(description) }
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn roles(series: &[SeriesSummary], channels: &[&str]) -> Vec<Role> {
        propose(series, &strings(channels)).into_iter().map(|proposal| proposal.role).collect()
    }

    const BRATS: [&str; 4] = ["T1", "T1Gd", "T2", "FLAIR"];

    #[test]
    fn common_file_names_give_their_channels() {
        for names in [
            ["BraTS-GLI-00000-000-t1n.nii.gz", "x-t1c.nii.gz", "x-t2w.nii.gz", "x-t2f.nii.gz"],
            ["BraTS20_001_t1.nii", "BraTS20_001_t1ce.nii", "BraTS20_001_t2.nii", "001_flair.nii"],
            ["case_0000.nii.gz", "case_0001.nii.gz", "case_0002.nii.gz", "case_0003.nii.gz"],
            ["T1.nii.gz", "T1Gd.nii.gz", "T2.nii.gz", "FLAIR.NII.GZ"],
            ["U_11_T1.nii.gz", "U_11_T1GD.nii.gz", "U_11_T2.nii.gz", "U_11_FLAIR.nii.gz"],
            ["T1_a.nii", "T1ce_a.nii", "T2_a.nii", "flair_a.nii"],
        ] {
            let found = roles(&names.map(file), &BRATS);
            assert_eq!(found, [0, 1, 2, 3].map(Role::Channel), "{names:?}");
        }
    }

    #[test]
    fn labels_and_other_scans_are_left_aside() {
        let files =
            ["x-seg.nii.gz", "x_tumor_segmentation.nii", "x_T2.nii", "x_ADC.nii", "x-t1n.nii"];
        let found = propose(&files.map(file), &strings(&["T1"]));
        for (proposal, expected) in found.iter().zip(["labels", "labels", "t2", "adc", ""]) {
            match proposal.role {
                Role::Spare => {
                    assert!(
                        !expected.is_empty() && proposal.reason.contains(expected),
                        "{found:?}"
                    );
                }
                role => assert_eq!((role, expected), (Role::Channel(0), "")),
            }
        }
        assert_eq!(roles(&[file("x_0001.nii")], &["T1"]), [Role::Spare]);
    }

    #[test]
    fn a_name_without_a_channel_is_undecided() {
        let files = ["scan.nii.gz", "t1_a.nii.gz", "t1_b.nii.gz"].map(file);
        let found = propose(&files, &strings(&["T1", "FLAIR"]));
        assert_eq!(found[0].role, Role::Undecided);
        assert_eq!(found[1].role, Role::Channel(0));
        assert!(found[2].role == Role::Spare && found[2].reason.contains("second"), "{found:?}");
        let any = roles(&["x_t1.nii", "x.nii"].map(file), &["MRI"]);
        assert_eq!(any, [Role::Undecided, Role::Undecided]);
    }

    #[test]
    fn the_last_known_word_counts_and_unprocessed_scans_are_preferred() {
        assert_eq!(roles(&[file("t1_study_t2.nii.gz")], &["T1", "T2"]), [Role::Channel(1)]);
        let found = roles(&["x_T1_bias.nii.gz", "x_T1.nii.gz"].map(file), &["T1"]);
        assert_eq!(found, [Role::Spare, Role::Channel(0)]);
    }

    #[test]
    fn series_of_a_hospital_give_their_channels() {
        let study = [
            series("3-plane loc", 8.0),
            series("B Ax T1", 5.0),
            series("B Ax T1 +C", 5.0),
            series("SAG MPRAGE +C", 1.0),
            series("B Ax Flair(10000 TR)", 5.0),
            series("ep2d_diff_ADC", 5.0),
            series("B Ax T2", 5.0),
        ];
        let found = propose(&study, &strings(&BRATS));
        let roles: Vec<Role> = found.iter().map(|proposal| proposal.role).collect();
        use Role::{Channel, Spare};
        // Of two series with contrast agent, the one with thin slices is taken.
        assert_eq!(roles, [Spare, Channel(0), Spare, Channel(1), Channel(3), Spare, Channel(2)]);
        assert_eq!(
            found[2].reason,
            "a second series of T1Gd (its description is \u{201c}B Ax T1 +C\u{201d})"
        );
    }

    #[test]
    fn a_file_with_all_channels_is_recognized_by_their_number() {
        let stack = |num_channels| SeriesSummary { num_channels, ..file("scan.nii.gz") };
        assert_eq!(roles(&[stack(4)], &BRATS), [Role::AllChannels]);
        assert_eq!(roles(&[stack(3)], &BRATS), [Role::Spare]);
    }
}
