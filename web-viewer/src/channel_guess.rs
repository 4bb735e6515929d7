//! Guesses the channel of each file from its name. The page shows the guess, and the user can change it.

use model_core::{ScanContent, ScanName, takes_any_contrast};

/// The guessed content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guess {
    /// One of the model's channels.
    Channel(usize),
    /// Any channel that is still missing: the name states none.
    AnyChannel,
    /// Not a channel of the model, with a description of the content.
    NotAChannel(String),
}

/// Guesses the content of each file. Each channel is assigned at most once; of several files for a
/// channel, the unprocessed variant is preferred, then the first file.
pub fn guess_channels(files: &[String], channels: &[String]) -> Vec<Guess> {
    let mut is_assigned = vec![false; channels.len()];
    let takes_any_contrast = takes_any_contrast(channels);
    let guess = |file: &String| {
        let ScanName { content, word, variant, .. } = ScanName::parse(file, channels);
        let channel = match content {
            ScanContent::Channel(channel) => channel,
            ScanContent::Numbered(number) if number < channels.len() => number,
            ScanContent::Numbered(number) => {
                return Guess::NotAChannel(format!("channel {number:04}"));
            }
            ScanContent::OtherChannel if takes_any_contrast => return Guess::AnyChannel,
            ScanContent::OtherChannel => {
                return Guess::NotAChannel(format!("another channel ({word})"));
            }
            ScanContent::Labels => return Guess::NotAChannel(format!("labels ({word})")),
            ScanContent::OtherMask => return Guess::NotAChannel(format!("a mask ({word})")),
            ScanContent::Unknown => return Guess::AnyChannel,
        };
        match std::mem::replace(&mut is_assigned[channel], true) {
            false => Guess::Channel(channel),
            true => {
                let found = if variant.is_empty() { word } else { format!("{word} {variant}") };
                Guess::NotAChannel(format!("a second file of {} ({found})", channels[channel]))
            }
        }
    };
    // Unprocessed variants, whose name is empty, come first.
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_unstable_by_key(|&n| (ScanName::parse(&files[n], channels).variant, n));
    let mut guesses: Vec<(usize, Guess)> =
        order.iter().map(|&n| &files[n]).map(guess).zip(&order).map(|(g, &n)| (n, g)).collect();
    guesses.sort_unstable_by_key(|(n, _)| *n);
    guesses.into_iter().map(|(_, guess)| guess).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn guesses(files: &[&str], channels: &[&str]) -> Vec<Guess> {
        guess_channels(&strings(files), &strings(channels))
    }

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
            let found = guesses(&names, &["T1", "T1Gd", "T2", "FLAIR"]);
            assert_eq!(found, [0, 1, 2, 3].map(Guess::Channel), "{names:?}");
        }
    }

    #[test]
    fn labels_and_other_scans_are_not_taken_for_a_channel() {
        let files =
            ["x-seg.nii.gz", "x_tumor_segmentation.nii", "x_T2.nii", "x_ADC.nii", "x-t1n.nii"];
        let expected = ["labels", "labels", "t2", "adc", ""];
        for (guess, expected) in guesses(&files, &["T1"]).iter().zip(expected) {
            match guess {
                Guess::NotAChannel(content) => {
                    assert!(!expected.is_empty() && content.contains(expected), "{content}");
                }
                guess => assert_eq!((guess, expected), (&Guess::Channel(0), "")),
            }
        }
        assert!(matches!(guesses(&["x_0001.nii"], &["T1"])[..], [Guess::NotAChannel(_)]));
    }

    #[test]
    fn a_name_without_a_channel_is_left_to_the_user() {
        let found = guesses(&["scan.nii.gz", "t1_a.nii.gz", "t1_b.nii.gz"], &["T1", "FLAIR"]);
        assert_eq!(found[..2], [Guess::AnyChannel, Guess::Channel(0)]);
        assert!(matches!(&found[2], Guess::NotAChannel(what) if what.contains("second")));
        assert_eq!(
            guesses(&["x_t1.nii", "x.nii"], &["MRI"]),
            [Guess::AnyChannel, Guess::AnyChannel]
        );
    }

    #[test]
    fn the_last_known_word_counts_and_unprocessed_scans_are_preferred() {
        assert_eq!(guesses(&["t1_study_t2.nii.gz"], &["T1", "T2"]), [Guess::Channel(1)]);
        let found = guesses(&["x_T1_bias.nii.gz", "x_T1.nii.gz"], &["T1"]);
        assert!(matches!(found[..], [Guess::NotAChannel(_), Guess::Channel(0)]), "{found:?}");
    }
}
