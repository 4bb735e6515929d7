//! What a file is to its case, by its name: the one reading of names, for data sets, for scans to
//! segment and for the page.

mod words;

use words::{CONTRASTS, LABELS, OTHER_CHANNELS, OTHER_MASKS, PROCESSED};

/// The most words that a contrast or the labels are written in: `tumor_segmentation`, `T2-FLAIR`.
const MAX_WORDS: usize = 4;

/// The endings of scans. The `.img` of a pair is found by its `.hdr`.
const ENDINGS: [&str; 4] = [".nii.gz", ".nii", ".hdr.gz", ".hdr"];

/// A file's name without the ending of a scan, in whatever letters; none where it ends otherwise.
pub fn scan_stem(name: &str) -> Option<&str> {
    let stem = |ending: &&str| without_ending(name, ending);
    ENDINGS.iter().find_map(stem).filter(|stem| !stem.is_empty())
}

/// A name without an ending, which capitals do not change.
pub fn without_ending<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(ending.len())?;
    let found = name.get(at..)?;
    found.eq_ignore_ascii_case(ending).then(|| &name[..at])
}

/// What a file holds, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// One of the channels that are asked for, by its place.
    Channel(usize),
    /// Another contrast, or a map that is none.
    OtherChannel,
    /// The experts' labels.
    Labels,
    /// A mask or a parcellation that is neither.
    OtherMask,
    /// `CASE_0002`: a channel by its number as in nnU-Net, or the case's own number.
    Numbered(usize),
    /// Anything: the name does not tell.
    Untold,
}

/// The name of a file that is read for what the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanName {
    /// The rest of the name, which is the case's; empty where the name tells nothing else, and the
    /// folder names the case.
    pub case: String,
    /// What it holds.
    pub holds: Holds,
    /// The words that tell it, small and joined, such as `t2flair`; empty where none do.
    pub word: String,
    /// What was done to it, such as `bias`, or how labels were made; a file without goes before.
    pub variant: String,
    /// Whether the words that tell it stand at the name's end, where the field puts them.
    pub is_at_end: bool,
}

impl ScanName {
    /// Reads a file's name, with its ending or without, for these channels. Capitals and separators
    /// do not matter. What `channels` do not name is known by the field's names.
    pub fn parse(name: &str, channels: &[String]) -> ScanName {
        let stem = scan_stem(name).unwrap_or(name);
        let words = words_of(stem);
        if let Some((case, number)) = numbered(stem) {
            let (word, variant) = (String::new(), String::new());
            let holds = Holds::Numbered(number);
            return ScanName { case: case.into(), holds, word, variant, is_at_end: true };
        }
        let processed = words.iter().rev().take_while(|w| PROCESSED.contains(&w.text.as_str()));
        let end = words.len() - processed.count();
        let at_end = find(&words, end, channels).or_else(|| find(&words, words.len(), channels));
        if let Some(found) = at_end {
            return found.at_end(stem, &words);
        }
        // Some begin with it: `T1_patient1`. Only what cannot be part of another name counts.
        let is_clear = |found: &Found| {
            matches!(found.holds, Holds::Channel(_) | Holds::Labels) || is_contrast(&found.word)
        };
        let ends = (1..words.len()).rev();
        let inner = ends.filter_map(|end| find(&words, end, channels)).find(is_clear);
        match inner {
            Some(found) => found.within(stem, &words),
            None => ScanName {
                case: stem.to_string(),
                holds: Holds::Untold,
                word: String::new(),
                variant: String::new(),
                is_at_end: false,
            },
        }
    }
}

/// A run of letters and digits of a name.
struct Word {
    start: usize,
    end: usize,
    /// In small letters.
    text: String,
}

fn words_of(stem: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut is_inside = false;
    for (at, c) in stem.char_indices() {
        if !c.is_alphanumeric() {
            is_inside = false;
            continue;
        }
        if !is_inside {
            words.push(Word { start: at, end: at, text: String::new() });
            is_inside = true;
        }
        let word = words.last_mut().expect("one was begun");
        word.end = at + c.len_utf8();
        word.text.extend(c.to_lowercase());
    }
    // The British spelling, too, means labels of tumors.
    words.iter_mut().for_each(|word| word.text = word.text.replace("mour", "mor"));
    words
}

/// nnU-Net's `CASE_0002`.
fn numbered(stem: &str) -> Option<(&str, usize)> {
    let (case, number) = stem.rsplit_once('_')?;
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !case.is_empty()).then(|| Some((case, number.parse().ok()?))).flatten()
}

/// Words of a name that tell what the file holds.
struct Found {
    first: usize,
    end: usize,
    holds: Holds,
    word: String,
    variant: &'static str,
}

/// The most words before `end` that tell something.
fn find(words: &[Word], end: usize, channels: &[String]) -> Option<Found> {
    (1..=end.min(MAX_WORDS)).rev().find_map(|count| {
        let first = end - count;
        let word: String = words[first..end].iter().map(|word| word.text.as_str()).collect();
        // A case may end in a letter: `a_seg` is no `aseg`.
        let is_joined = count > 1 && words[first].text.chars().count() == 1;
        if is_joined && !channels.iter().any(|channel| plain(channel) == word) {
            return None;
        }
        let (holds, variant) = told_by(&word, channels)?;
        Some(Found { first, end, holds, word, variant })
    })
}

fn told_by(word: &str, channels: &[String]) -> Option<(Holds, &'static str)> {
    if let Some(channel) = channels
        .iter()
        .position(|channel| plain(channel) == word)
        .or_else(|| channels.iter().position(|channel| is_same_channel(channel, word)))
    {
        return Some((Holds::Channel(channel), ""));
    }
    if contrast(word).is_some() || OTHER_CHANNELS.contains(&word) {
        return Some((Holds::OtherChannel, ""));
    }
    if OTHER_MASKS.contains(&word) {
        return Some((Holds::OtherMask, ""));
    }
    let (_, variant) = LABELS.iter().find(|(label, _)| *label == word)?;
    Some((Holds::Labels, variant))
}

impl Found {
    /// The name of a file that ends so.
    fn at_end(self, stem: &str, words: &[Word]) -> ScanName {
        let mut first = self.first;
        let is_contrast = |word: &Word| contrast(&word.text).is_some();
        let holds = match self.holds {
            // `t1ce-t1`, `t1_to_flair`: made of two, and neither.
            Holds::Channel(_) if first > 0 && is_contrast(&words[first - 1]) => Holds::OtherChannel,
            holds => holds,
        };
        // `CASE_brain_t1c` is of the case of `CASE_tumorMask`, and so is `CASE_t1_seg`.
        let is_of_scan =
            |word: &Word| word.text == "brain" || holds == Holds::Labels && is_contrast(word);
        while first > 1 && is_of_scan(&words[first - 1]) {
            first -= 1;
        }
        let done: Vec<&str> = words[self.end..].iter().map(|word| word.text.as_str()).collect();
        ScanName {
            case: case_before(stem, words, first).to_string(),
            holds,
            word: self.word,
            variant: if done.is_empty() { self.variant.to_string() } else { done.join(" ") },
            is_at_end: true,
        }
    }

    /// The name of a file that has it elsewhere.
    fn within(self, stem: &str, words: &[Word]) -> ScanName {
        let before = case_before(stem, words, self.first);
        let after = &stem[words[self.end].start..];
        let case = if before.is_empty() { after.to_string() } else { format!("{before}_{after}") };
        let Found { holds, word, variant, .. } = self;
        ScanName { case, holds, word, variant: variant.to_string(), is_at_end: false }
    }
}

/// A name up to a word, without the separators between.
fn case_before<'a>(stem: &'a str, words: &[Word], word: usize) -> &'a str {
    match word {
        0 => "",
        _ => &stem[..words[word - 1].end],
    }
}

/// A name in small letters and digits alone.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Which contrast a name means.
fn contrast(name: &str) -> Option<usize> {
    let plain = plain(name);
    CONTRASTS.iter().position(|(_, names)| names.contains(&plain.as_str()))
}

/// What files with a channel are called: the contrast's names in BraTS until 2022 and since 2023, or
/// the channel's own.
pub fn usual_names(channel: &str) -> Vec<String> {
    match contrast(channel) {
        Some(found) => CONTRASTS[found].1[..2].iter().map(|name| name.to_string()).collect(),
        None => vec![channel.to_string()],
    }
}

/// Whether a channel's name is that of one of the field's contrasts: T1, T1Gd, T2 or FLAIR, in any
/// spelling.
pub fn is_contrast(channel: &str) -> bool {
    contrast(channel).is_some()
}

/// Whether a channel's name says what kind of scan it is, as "FLAIR" or "ADC" do; "MRI" does not.
pub fn is_specific(channel: &str) -> bool {
    told_by(&plain(channel), &[]).is_some()
}

/// Whether two names mean the same channel: the same letters and digits, or the same contrast by
/// the names of different years.
pub fn is_same_channel(a: &str, b: &str) -> bool {
    plain(a) == plain(b) || contrast(a).is_some_and(|found| contrast(b) == Some(found))
}

/// Whether two lists mean the same channels in the same order.
pub fn are_same_channels(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_channel(a, b))
}

#[cfg(test)]
mod tests;
