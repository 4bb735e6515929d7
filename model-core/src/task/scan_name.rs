//! Reads a scan's role in its case from its file name, for data sets, for scans to segment and for
//! the page.

mod vocabulary;

use vocabulary::{LABELS, MODALITIES, OTHER_CHANNELS, OTHER_MASKS, PROCESSED};

/// The most words of a modality or of labels, such as `tumor_segmentation` and `T2-FLAIR`.
const MAX_WORDS: usize = 4;

/// The endings of NIfTI and Analyze. The `.img` of a pair is found by its `.hdr`.
const NIFTI_ENDINGS: [&str; 4] = [".nii.gz", ".nii", ".hdr.gz", ".hdr"];

/// The endings of the other formats. DICOM files often have none; Siemens writes `.ima`.
const OTHER_ENDINGS: [&str; 5] = [".nrrd", ".mgz", ".mgh", ".dcm", ".ima"];

/// Returns a file name without the ending of a scan of any format; `None` if it has another ending.
/// The case of letters does not matter.
pub fn scan_stem(name: &str) -> Option<&str> {
    nifti_stem(name).or_else(|| stem(name, &OTHER_ENDINGS))
}

/// Returns a file name without the ending of NIfTI or Analyze, the formats of data sets; `None` if
/// it has another ending. The case of letters does not matter.
pub fn nifti_stem(name: &str) -> Option<&str> {
    stem(name, &NIFTI_ENDINGS)
}

fn stem<'a>(name: &'a str, endings: &[&str]) -> Option<&'a str> {
    let stem = |ending: &&str| strip_ending(name, ending);
    endings.iter().find_map(stem).filter(|stem| !stem.is_empty())
}

/// Returns a name without `ending`; `None` if it has another ending. The case of letters does not
/// matter.
pub fn strip_ending<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(ending.len())?;
    let actual = name.get(at..)?;
    actual.eq_ignore_ascii_case(ending).then(|| &name[..at])
}

/// The content of a file, according to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScanContent {
    /// One of the requested channels, by its index.
    Channel(usize),
    /// Another modality, or a parametric map.
    OtherChannel,
    /// The experts' labels.
    Labels,
    /// A mask or a parcellation that is not the labels.
    OtherMask,
    /// `CASE_0002`: the number of a channel, as in nnU-Net, or of the case.
    Numbered(usize),
    /// Unknown: the name has no word for the content.
    Unknown,
}

/// A parsed file name of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanName {
    /// The case's name; `None` if the file name only states the content, and the folder names the
    /// case.
    pub case: Option<String>,
    /// The content of the file.
    pub content: ScanContent,
    /// The words that state the content, in lower case and joined, such as `t2flair`.
    pub word: String,
    /// The processing of the scan, such as `bias`, or the origin of labels, as words separated by
    /// spaces. A file without such words is preferred.
    pub variant: String,
    /// Whether the words that state the content end the name, as is usual.
    pub is_at_end: bool,
}

impl ScanName {
    /// Parses a file name, with or without its ending, for these channels. The case of letters and
    /// separators do not matter. Content that `channels` do not name is recognized by the usual names
    /// of public data sets.
    pub fn parse(name: &str, channels: &[String]) -> ScanName {
        let stem = scan_stem(name).unwrap_or(name);
        let words = split_words(stem);
        if let Some((case, number)) = split_number(stem) {
            let (word, variant) = (String::new(), String::new());
            let (case, content) = (Some(case.to_string()), ScanContent::Numbered(number));
            return ScanName { case, content, word, variant, is_at_end: true };
        }
        let processed = words.iter().rev().take_while(|w| PROCESSED.contains(&w.text.as_str()));
        let end = words.len() - processed.count();
        let at_end = find_content(&words, end, channels)
            .or_else(|| find_content(&words, words.len(), channels));
        if let Some(content_words) = at_end {
            return content_words.at_end(stem, &words);
        }
        // Some names begin with the content: `T1_patient1`. Only unambiguous words count there.
        let is_clear = |found: &ContentWords| {
            matches!(found.content, ScanContent::Channel(_) | ScanContent::Labels)
                || is_modality(&found.word)
        };
        let ends = (1..words.len()).rev();
        let inner = ends.filter_map(|end| find_content(&words, end, channels)).find(is_clear);
        match inner {
            Some(content_words) => content_words.within(stem, &words),
            None => ScanName {
                case: Some(stem.to_string()),
                content: ScanContent::Unknown,
                word: String::new(),
                variant: String::new(),
                is_at_end: false,
            },
        }
    }
}

/// A word of a name: consecutive letters and digits.
struct Word {
    start: usize,
    end: usize,
    /// The word in lower case.
    text: String,
}

/// Splits a name into words.
fn split_words(stem: &str) -> Vec<Word> {
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
        let word = words.last_mut().expect("a word was started");
        word.end = at + c.len_utf8();
        word.text.push(c.to_ascii_lowercase());
    }
    // Accept the British spelling of tumor labels too.
    words.iter_mut().for_each(|word| word.text = word.text.replace("mour", "mor"));
    words
}

/// Splits nnU-Net's `CASE_0002` into the case and the number.
fn split_number(stem: &str) -> Option<(&str, usize)> {
    let (case, number) = stem.rsplit_once('_')?;
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !case.is_empty()).then(|| Some((case, number.parse().ok()?))).flatten()
}

/// The words of a name that state the content.
struct ContentWords {
    first: usize,
    end: usize,
    content: ScanContent,
    word: String,
    variant: &'static str,
}

/// Returns the longest sequence of words before `end` that states a content.
fn find_content(words: &[Word], end: usize, channels: &[String]) -> Option<ContentWords> {
    (1..=end.min(MAX_WORDS)).rev().find_map(|count| {
        let first = end - count;
        let word: String = words[first..end].iter().map(|word| word.text.as_str()).collect();
        // A case's name may end with a letter: `a_seg` is not `aseg`.
        let is_joined = count > 1 && words[first].text.chars().count() == 1;
        if is_joined && !channels.iter().any(|channel| normalized(channel) == word) {
            return None;
        }
        let (content, variant) = content_of(&word, channels)?;
        Some(ContentWords { first, end, content, word, variant })
    })
}

/// Returns the content that a word states, and the origin of labels.
fn content_of(word: &str, channels: &[String]) -> Option<(ScanContent, &'static str)> {
    if let Some(channel) = channels
        .iter()
        .position(|channel| normalized(channel) == word)
        .or_else(|| channels.iter().position(|channel| is_same_channel(channel, word)))
    {
        return Some((ScanContent::Channel(channel), ""));
    }
    if modality(word).is_some() || OTHER_CHANNELS.contains(&word) {
        return Some((ScanContent::OtherChannel, ""));
    }
    if OTHER_MASKS.contains(&word) {
        return Some((ScanContent::OtherMask, ""));
    }
    let (_, variant) = LABELS.iter().find(|(label, _)| *label == word)?;
    Some((ScanContent::Labels, variant))
}

impl ContentWords {
    /// Returns the parsed name if these words end the name.
    fn at_end(self, stem: &str, words: &[Word]) -> ScanName {
        let mut first = self.first;
        let is_modality = |word: &Word| modality(&word.text).is_some();
        let content = match self.content {
            // `t1ce-t1` and `t1_to_flair` are computed from two modalities.
            ScanContent::Channel(_) if first > 0 && is_modality(&words[first - 1]) => {
                ScanContent::OtherChannel
            }
            content => content,
        };
        // `CASE_brain_t1c`, `CASE_t1_seg` and `CASE_tumorMask` belong to the same case.
        let is_part_of_content = |word: &Word| {
            word.text == "brain" || content == ScanContent::Labels && is_modality(word)
        };
        while first > 1 && is_part_of_content(&words[first - 1]) {
            first -= 1;
        }
        let processing: Vec<&str> =
            words[self.end..].iter().map(|word| word.text.as_str()).collect();
        let variant = match processing.is_empty() {
            true => self.variant.to_string(),
            false => processing.join(" "),
        };
        ScanName {
            case: case_before(stem, words, first).map(String::from),
            content,
            word: self.word,
            variant,
            is_at_end: true,
        }
    }

    /// Returns the parsed name if other words follow these.
    fn within(self, stem: &str, words: &[Word]) -> ScanName {
        let before = case_before(stem, words, self.first);
        let after = &stem[words[self.end].start..];
        let case = before.map_or(after.to_string(), |before| format!("{before}_{after}"));
        let ContentWords { content, word, variant, .. } = self;
        let variant = variant.to_string();
        ScanName { case: Some(case), content, word, variant, is_at_end: false }
    }
}

/// Returns a name up to a word, without the separators before the word; `None` if nothing is left.
fn case_before<'a>(stem: &'a str, words: &[Word], word: usize) -> Option<&'a str> {
    let last = word.checked_sub(1)?;
    Some(&stem[..words[last].end])
}

/// Returns the letters and digits of a name, in lower case.
fn normalized(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// Returns the index of the modality that a name means.
fn modality(name: &str) -> Option<usize> {
    let name = normalized(name);
    MODALITIES.iter().position(|(_, names)| names.contains(&name.as_str()))
}

/// Returns the usual names of a channel in file names: the modality's names in BraTS until 2022 and
/// since 2023, or the channel's own name.
pub fn usual_file_names(channel: &str) -> Vec<String> {
    match modality(channel) {
        Some(index) => MODALITIES[index].1[..2].iter().map(|name| name.to_string()).collect(),
        None => vec![channel.to_string()],
    }
}

/// Returns whether a channel's name means T1, T1Gd, T2 or FLAIR, in any spelling.
pub fn is_modality(channel: &str) -> bool {
    modality(channel).is_some()
}

/// Returns whether a channel's name states the kind of scan, as "FLAIR" and "ADC" do and "MRI" does
/// not.
pub fn is_specific_channel(channel: &str) -> bool {
    content_of(&normalized(channel), &[]).is_some()
}

/// Returns whether scans of any contrast can be a task's input: its only channel has a general name,
/// such as "MRI".
pub fn takes_any_contrast(channels: &[String]) -> bool {
    matches!(channels, [channel] if !is_specific_channel(channel))
}

/// Returns whether two names mean the same channel: they have the same letters and digits, or are
/// names of the same modality.
pub fn is_same_channel(a: &str, b: &str) -> bool {
    normalized(a) == normalized(b) || modality(a).is_some_and(|index| modality(b) == Some(index))
}

/// Returns whether two lists mean the same channels in the same order.
pub fn are_same_channels(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_channel(a, b))
}

#[cfg(test)]
mod tests;
