//! Which channel a file holds, by its name: nnU-Net numbers channels, BraTS and others name them.

use model_core::Task;

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
        /// The case.
        case: String,
        /// The channel.
        channel: usize,
    },
    /// `CASE_seg`: the expert's labels, which a prediction does not see.
    Labels,
    /// Anything else: all channels, as far as its name tells.
    Whole,
}

/// The names that BraTS gives its channels, 2018–2021 and 2023–2024.
const ALIASES: [(&str, &[&str]); 4] =
    [("t1", &["t1n"]), ("t1gd", &["t1ce", "t1c"]), ("t2", &["t2w"]), ("flair", &["t2f"])];

/// What a file is, by its name without ending.
pub fn part(stem: &str, task: &Task) -> Part {
    let Some((place, _)) = stem.char_indices().rfind(|(_, c)| *c == '_' || *c == '-') else {
        return Part::Whole;
    };
    let (case, end) = (stem[..place].to_string(), stem[place + 1..].to_ascii_lowercase());
    let is_number = end.len() == 4 && end.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(channel) = end.parse().ok().filter(|_| is_number && stem[place..].starts_with('_'))
        && channel < task.channels.len()
    {
        return Part::Numbered { case, channel };
    }
    // A task of one channel has no need for names, and a case may end in one by chance.
    if task.channels.len() == 1 || case.is_empty() {
        return Part::Whole;
    }
    if end == "seg" {
        return Part::Labels;
    }
    let is_called = |channel: &String| {
        let name = channel.to_ascii_lowercase();
        let aliases = ALIASES.iter().find(|(known, _)| *known == name);
        name == end || aliases.is_some_and(|(_, aliases)| aliases.contains(&end.as_str()))
    };
    match task.channels.iter().position(is_called) {
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
        let numbered = |channel| Part::Numbered { case: "BRATS_001".into(), channel };
        assert_eq!(part("BRATS_001_0003", &task), numbered(3));
        for whole in ["BRATS_001_0004", "BRATS_001", "t1", "_t1", "case_00001", "x-0001", ""] {
            assert_eq!(part(whole, &task), Part::Whole, "{whole}");
        }
    }

    #[test]
    fn one_channel_needs_no_name() {
        let task = Task::exclusive("MRI", vec!["T1".into()], vec![(1, "x".into())]);
        assert_eq!(part("subject_t1", &task), Part::Whole);
        assert_eq!(
            part("subject_0000", &task),
            Part::Numbered { case: "subject".into(), channel: 0 }
        );
    }
}
