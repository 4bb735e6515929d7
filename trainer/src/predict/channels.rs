//! Which channel a file holds, by its name: nnU-Net numbers channels, BraTS and others name them.

use model_core::Task;

use crate::data_set::is_same_channel;

/// What a file is to its case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// `CASE_0002`: perhaps a channel of nnU-Net's.
    Numbered {
        /// The case.
        case: String,
        /// The channel.
        channel: usize,
    },
    /// `CASE_flair`, `CASE-t2f`: a channel by its name.
    Named {
        /// The case; empty where the file names the channel alone, and its folder the case.
        case: String,
        /// The channel.
        channel: usize,
    },
    /// `CASE_seg`, `CASE-label`: the expert's labels, which a prediction does not see.
    Labels,
    /// Anything else: all channels, as far as its name tells.
    Whole,
}

/// What a file is, by its name without ending.
pub fn part(stem: &str, task: &Task) -> Part {
    let place = stem.rfind(['_', '-']);
    let (case, end) = place.map_or(("", stem), |place| (&stem[..place], &stem[place + 1..]));
    let (case, end) = (case.to_string(), end.to_ascii_lowercase());
    let is_number = end.len() == 4 && end.bytes().all(|byte| byte.is_ascii_digit());
    let is_numbered = is_number && place.is_some_and(|place| stem[place..].starts_with('_'));
    if let Some(channel) = end.parse().ok().filter(|_| is_numbered && !case.is_empty())
        && channel < task.channels.len()
    {
        return Part::Numbered { case, channel };
    }
    if end == "seg" || end == "label" {
        return Part::Labels;
    }
    // A task of one channel has no need for names, and a case may end in one by chance.
    if task.channels.len() == 1 {
        return Part::Whole;
    }
    match task.channels.iter().position(|channel| is_same_channel(channel, &end)) {
        Some(channel) => Part::Named { case, channel },
        None => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_channel_in_every_form_of_the_field() {
        let task = Task::builtin("brats2023").unwrap();
        let named = |case: &str, channel| Part::Named { case: case.into(), channel };
        assert_eq!(part("Brats18_2013_2_1_t1ce", &task), named("Brats18_2013_2_1", 1));
        assert_eq!(part("BraTS-GLI-00000-000-t1n", &task), named("BraTS-GLI-00000-000", 0));
        assert_eq!(part("BraTS-GLI-00000-000-t2f", &task), named("BraTS-GLI-00000-000", 3));
        assert_eq!(part("case_T1Gd", &task), named("case", 1));
        assert_eq!(part("BraTS-GLI-00000-000-seg", &task), Part::Labels);
        assert_eq!(part("subject-1-label", &task), Part::Labels);
        assert_eq!(part("subject-1-T1", &task), named("subject-1", 0));
        let numbered = |channel| Part::Numbered { case: "BRATS_001".into(), channel };
        assert_eq!(part("BRATS_001_0003", &task), numbered(3));
        assert_eq!(part("t1ce", &task), named("", 1));
        assert_eq!(part("seg", &task), Part::Labels);
        for whole in ["BRATS_001_0004", "BRATS_001", "_0001", "case_00001", "x-0001", ""] {
            assert_eq!(part(whole, &task), Part::Whole, "{whole}");
        }
    }

    #[test]
    fn a_channel_is_found_by_the_names_of_other_years_than_the_tasks() {
        let channels = ["FLAIR", "T1w", "t1gd", "T2w"].map(String::from).to_vec();
        let task = Task::exclusive("Decathlon", channels, vec![(1, "x".into())]);
        let names = ["t1n", "t1", "T1CE", "t1c", "t2f", "t2w", "T2"];
        let found = names.map(|name| match part(&format!("case-{name}"), &task) {
            Part::Named { channel, .. } => channel,
            other => panic!("{name}: {other:?}"),
        });
        assert_eq!(found, [1, 1, 2, 2, 0, 3, 3]);
    }

    #[test]
    fn one_channel_needs_no_name() {
        let task = Task::exclusive("MRI", vec!["T1".into()], vec![(1, "x".into())]);
        assert_eq!(part("subject_t1", &task), Part::Whole);
        assert_eq!(part("subject_seg", &task), Part::Labels);
        assert_eq!(
            part("subject_0000", &task),
            Part::Numbered { case: "subject".into(), channel: 0 }
        );
    }
}
