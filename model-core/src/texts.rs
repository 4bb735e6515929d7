//! Displayed texts: amounts of memory in words, and the limits of texts from outside (names and
//! sentences of a bundle's card, of a task and of a share link).

/// Stands on every screen, report, export and link.
pub const DISCLAIMER: &str = "Research use only, not a medical device";

/// The most characters of a name of a model, a channel, a label or a region.
pub const MAX_NAME_CHARS: usize = 200;

/// The most characters of a warning, a license or a description of data.
pub const MAX_TEXT_CHARS: usize = 2000;

/// Formats an amount of memory to the nearest 0.1 MiB or, from 1000 MiB, to the nearest 0.01 GiB.
pub fn bytes(count: u64) -> String {
    let mib = count as f64 / (1u64 << 20) as f64;
    if mib >= 1000.0 { format!("{:.2} GiB", mib / 1024.0) } else { format!("{mib:.1} MiB") }
}

/// Formats an amount of memory, rounded up to whole MiB or, from 1024 MiB, to 0.1 GiB.
pub fn bytes_rounded_up(count: u64) -> String {
    match count.div_ceil(1 << 20) {
        mib if mib >= 1024 && mib % 1024 == 0 => format!("{} GiB", mib / 1024),
        mib if mib > 1024 => format!("{:.1} GiB", (mib as f64 / 102.4).ceil() / 10.0),
        mib => format!("{mib} MiB"),
    }
}

/// Returns the fault of a name as the expected and the found text; `None` for a valid name. `what`
/// describes the name, such as "a region's name".
pub fn name_fault(what: &str, name: &str) -> Option<(String, String)> {
    fault(what, name, MAX_NAME_CHARS)
}

/// Returns the fault of a longer text, as [`name_fault`] does of a name.
pub fn text_fault(what: &str, text: &str) -> Option<(String, String)> {
    fault(what, text, MAX_TEXT_CHARS)
}

/// Returns the text with control characters replaced by spaces, shortened to `max_chars`.
pub fn shortened(text: &str, max_chars: usize) -> String {
    let shown = text.chars().map(|c| if is_hidden(c) { ' ' } else { c });
    match text.chars().nth(max_chars) {
        None => shown.collect(),
        Some(_) => shown.take(max_chars - 1).chain(['…']).collect(),
    }
}

/// Returns the fault of a text: its length, or its first control character.
fn fault(what: &str, text: &str, max_chars: usize) -> Option<(String, String)> {
    let num_chars = text.chars().count();
    if num_chars > max_chars {
        return Some((format!("{what} of at most {max_chars} characters"), num_chars.to_string()));
    }
    let hidden = text.chars().find(|&c| is_hidden(c))?;
    Some((format!("{what} without control characters"), format!("{hidden:?}")))
}

/// Returns whether a character is a control character other than white space. Control characters can
/// move a terminal's cursor, and direction marks can reverse the text around them.
fn is_hidden(c: char) -> bool {
    let is_direction_mark = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_direction_mark || (c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_rounded_to_the_nearest_or_up() {
        let mib = 1 << 20;
        for (count, nearest, up) in [
            (1, "0.0 MiB", "1 MiB"),
            (431 * mib, "431.0 MiB", "431 MiB"),
            (431 * mib + 1, "431.0 MiB", "432 MiB"),
            (1024 * mib, "1.00 GiB", "1 GiB"),
            (1025 * mib, "1.00 GiB", "1.1 GiB"),
            (4096 * mib, "4.00 GiB", "4 GiB"),
        ] {
            assert_eq!((&*bytes(count), &*bytes_rounded_up(count)), (nearest, up));
        }
    }

    #[test]
    fn long_texts_and_control_characters_are_faults() {
        assert_eq!(name_fault("a name", &"é".repeat(MAX_NAME_CHARS)), None);
        assert_eq!(text_fault("a text", "two\nlines,\r\n\ttabs"), None);
        let (expected, found) = name_fault("a name", &"é".repeat(MAX_NAME_CHARS + 1)).unwrap();
        assert_eq!((&*expected, &*found), ("a name of at most 200 characters", "201"));
        for hidden in ["\u{1b}[2J", "\0", "gnp.\u{202e}exe", "\u{2066}"] {
            let (expected, _) = text_fault("a text", hidden).unwrap();
            assert_eq!(expected, "a text without control characters", "{hidden:?}");
        }
    }

    #[test]
    fn a_shortened_text_is_valid() {
        assert_eq!(shortened("a name", 200), "a name");
        assert_eq!(shortened("abcdef", 4), "abc…");
        let long = shortened(&"\u{1b}x".repeat(300), MAX_NAME_CHARS);
        assert_eq!(name_fault("a name", &long), None);
        assert_eq!(long.chars().count(), MAX_NAME_CHARS);
    }
}
