//! Which file is which channel, guessed from names; the page shows the guess and lets it be changed.

/// Names of one contrast among the field's data sets: BraTS before 2023 and since, nnU-Net, MSD.
const SAME: [&[&str]; 4] = [
    &["t1", "t1n", "t1w", "t1native"],
    &["t1gd", "t1ce", "t1c", "t1post", "t1gad"],
    &["t2", "t2w"],
    &["flair", "t2f", "t2flair", "t2fl"],
];

/// For each file the channel that its name tells: each channel at most once, the first file first.
/// A file that tells none, or one that is taken, gets none.
pub fn channels_of(files: &[String], channels: &[String]) -> Vec<Option<usize>> {
    let mut taken = vec![false; channels.len()];
    files
        .iter()
        .map(|file| {
            let channel = channel_of(file, channels).filter(|&c| !taken[c])?;
            taken[channel] = true;
            Some(channel)
        })
        .collect()
}

/// The channel that a file's name tells. Its last telling word counts: names begin with the data
/// set and the case.
fn channel_of(file: &str, channels: &[String]) -> Option<usize> {
    let lower = file.to_lowercase();
    let stem = lower.trim_end_matches(".gz").trim_end_matches(".nii");
    let words: Vec<&str> = stem.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    words.iter().rev().find_map(|word| {
        let named = channels.iter().position(|channel| is_same(word, channel));
        // nnU-Net's files end in the channel's number: case_0000.nii.gz.
        named.or_else(|| match word.len() {
            4 => word.parse().ok().filter(|&n: &usize| n < channels.len()),
            _ => None,
        })
    })
}

fn is_same(word: &str, channel: &str) -> bool {
    let channel: String =
        channel.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    !word.is_empty()
        && (word == channel
            || SAME.iter().any(|set| set.contains(&word) && set.contains(&&*channel)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn the_fields_names_are_understood() {
        let channels = strings(&["T1", "T1Gd", "T2", "FLAIR"]);
        for names in [
            ["BraTS-GLI-00000-000-t1n.nii.gz", "x-t1c.nii.gz", "x-t2w.nii.gz", "x-t2f.nii.gz"],
            ["BraTS20_001_t1.nii", "BraTS20_001_t1ce.nii", "BraTS20_001_t2.nii", "001_flair.nii"],
            ["case_0000.nii.gz", "case_0001.nii.gz", "case_0002.nii.gz", "case_0003.nii.gz"],
            ["T1.nii.gz", "T1Gd.nii.gz", "T2.nii.gz", "FLAIR.nii.gz"],
        ] {
            let found = channels_of(&strings(&names), &channels);
            assert_eq!(found, [Some(0), Some(1), Some(2), Some(3)], "{names:?}");
        }
    }

    #[test]
    fn a_name_that_tells_nothing_is_left_to_the_user() {
        let channels = strings(&["T1", "FLAIR"]);
        let files =
            strings(&["scan.nii.gz", "t1_a.nii.gz", "t1_b.nii.gz", "x_t2.nii", "x_0009.nii"]);
        assert_eq!(channels_of(&files, &channels), [None, Some(0), None, None, None]);
    }

    #[test]
    fn the_last_telling_word_counts() {
        let channels = strings(&["T1", "T2"]);
        assert_eq!(channels_of(&strings(&["t1_study_t2.nii.gz"]), &channels), [Some(1)]);
    }
}
