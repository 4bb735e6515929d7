//! Which file is which channel, guessed from names; the page shows the guess and lets it be changed.

use model_core::{ScanContent, ScanName, is_specific_channel};

/// What a file is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guess {
    /// One of the model's channels.
    Channel(usize),
    /// Whatever is still missing: its name tells nothing.
    Any,
    /// Not the model's, and not to be taken for it: what it is instead.
    Other(String),
}

/// What each file is, by its name: each channel at most once, the first file first.
pub fn guesses(files: &[String], channels: &[String]) -> Vec<Guess> {
    let mut taken = vec![false; channels.len()];
    // A model of "MRI" takes any contrast.
    let takes_any = channels.len() == 1 && !is_specific_channel(&channels[0]);
    let guess = |file: &String| {
        let ScanName { content, word, variant, .. } = ScanName::parse(file, channels);
        let found = match content {
            ScanContent::Channel(channel) => channel,
            ScanContent::Numbered(number) if number < channels.len() => number,
            ScanContent::Numbered(number) => return Guess::Other(format!("channel {number:04}")),
            ScanContent::OtherChannel if takes_any => return Guess::Any,
            ScanContent::OtherChannel => return Guess::Other(format!("another channel ({word})")),
            ScanContent::Labels => return Guess::Other(format!("labels ({word})")),
            ScanContent::OtherMask => return Guess::Other(format!("a mask ({word})")),
            ScanContent::Unknown => return Guess::Any,
        };
        match std::mem::replace(&mut taken[found], true) {
            false => Guess::Channel(found),
            true => {
                let which = if variant.is_empty() { word } else { format!("{word} {variant}") };
                Guess::Other(format!("a second file of {} ({which})", channels[found]))
            }
        }
    };
    // Of a scan in several forms the one to which nothing was done.
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|&n| ScanName::parse(&files[n], channels).variant);
    let mut guesses: Vec<(usize, Guess)> =
        order.iter().map(|&n| &files[n]).map(guess).zip(&order).map(|(g, &n)| (n, g)).collect();
    guesses.sort_by_key(|(n, _)| *n);
    guesses.into_iter().map(|(_, guess)| guess).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn of(files: &[&str], channels: &[&str]) -> Vec<Guess> {
        guesses(&strings(files), &strings(channels))
    }

    #[test]
    fn the_fields_names_are_understood() {
        for names in [
            ["BraTS-GLI-00000-000-t1n.nii.gz", "x-t1c.nii.gz", "x-t2w.nii.gz", "x-t2f.nii.gz"],
            ["BraTS20_001_t1.nii", "BraTS20_001_t1ce.nii", "BraTS20_001_t2.nii", "001_flair.nii"],
            ["case_0000.nii.gz", "case_0001.nii.gz", "case_0002.nii.gz", "case_0003.nii.gz"],
            ["T1.nii.gz", "T1Gd.nii.gz", "T2.nii.gz", "FLAIR.NII.GZ"],
            ["U_11_T1.nii.gz", "U_11_T1GD.nii.gz", "U_11_T2.nii.gz", "U_11_FLAIR.nii.gz"],
            ["T1_a.nii", "T1ce_a.nii", "T2_a.nii", "flair_a.nii"],
        ] {
            let found = of(&names, &["T1", "T1Gd", "T2", "FLAIR"]);
            assert_eq!(found, [0, 1, 2, 3].map(Guess::Channel), "{names:?}");
        }
    }

    #[test]
    fn labels_and_other_scans_are_not_taken_for_a_channel() {
        let files =
            ["x-seg.nii.gz", "x_tumor_segmentation.nii", "x_T2.nii", "x_ADC.nii", "x-t1n.nii"];
        for (guess, part) in of(&files, &["T1"]).iter().zip(["labels", "labels", "t2", "adc", ""]) {
            match guess {
                Guess::Other(what) => assert!(!part.is_empty() && what.contains(part), "{what}"),
                guess => assert_eq!((guess, part), (&Guess::Channel(0), "")),
            }
        }
        assert!(matches!(of(&["x_0001.nii"], &["T1"])[..], [Guess::Other(_)]));
    }

    #[test]
    fn a_name_that_tells_nothing_is_left_to_the_user() {
        let found = of(&["scan.nii.gz", "t1_a.nii.gz", "t1_b.nii.gz"], &["T1", "FLAIR"]);
        assert_eq!(found[..2], [Guess::Any, Guess::Channel(0)]);
        assert!(matches!(&found[2], Guess::Other(what) if what.contains("second")));
        assert_eq!(of(&["x_t1.nii", "x.nii"], &["MRI"]), [Guess::Any, Guess::Any]);
    }

    #[test]
    fn the_last_telling_word_counts_and_what_nothing_was_done_to_goes_before() {
        assert_eq!(of(&["t1_study_t2.nii.gz"], &["T1", "T2"]), [Guess::Channel(1)]);
        let found = of(&["x_T1_bias.nii.gz", "x_T1.nii.gz"], &["T1"]);
        assert!(matches!(found[..], [Guess::Other(_), Guess::Channel(0)]), "{found:?}");
    }
}
