//! Limits of texts that come from outside and are shown: names and sentences of a bundle's card, of a
//! task and of a link.

/// The most characters of a name: of a model, a channel, a label, a region.
pub const MAX_NAME_CHARS: usize = 200;

/// The most characters of a sentence to be read: a warning, a license, what the data are.
pub const MAX_TEXT_CHARS: usize = 2000;

/// What is wrong with a name, as what was expected and what was found; `what` says whose it is.
pub fn name_fault(what: &str, name: &str) -> Option<(String, String)> {
    fault(what, name, MAX_NAME_CHARS)
}

/// The same of a sentence.
pub fn text_fault(what: &str, text: &str) -> Option<(String, String)> {
    fault(what, text, MAX_TEXT_CHARS)
}

/// A text that has no fault, as near to this one as can be.
pub fn shortened(text: &str, max_chars: usize) -> String {
    let shown = text.chars().map(|c| if is_hidden(c) { ' ' } else { c });
    match text.chars().nth(max_chars) {
        None => shown.collect(),
        Some(_) => shown.take(max_chars - 1).chain(['…']).collect(),
    }
}

fn fault(what: &str, text: &str, max_chars: usize) -> Option<(String, String)> {
    let num_chars = text.chars().count();
    if num_chars > max_chars {
        return Some((format!("{what} of at most {max_chars} characters"), num_chars.to_string()));
    }
    let hidden = text.chars().find(|&c| is_hidden(c))?;
    Some((format!("{what} without control characters"), format!("{hidden:?}")))
}

/// Control characters move a terminal's cursor, and those of direction turn what stands around them;
/// only white space belongs in a text.
fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_long_as_it_may_be_and_shows_all_that_it_holds() {
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
    fn a_shortened_text_has_no_fault() {
        assert_eq!(shortened("a name", 200), "a name");
        assert_eq!(shortened("abcdef", 4), "abc…");
        let long = shortened(&"\u{1b}x".repeat(300), MAX_NAME_CHARS);
        assert_eq!(name_fault("a name", &long), None);
        assert_eq!(long.chars().count(), MAX_NAME_CHARS);
    }
}
