//! Text in HTML.

/// Escapes a text for HTML, between tags or in a quoted attribute. Names come from files, so they
/// may contain anything.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            // HTML allows no other control characters. Marks of text direction would affect the
            // text that follows.
            '\n' | '\t' => out.push(character),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            character if character.is_control() => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_cannot_end_its_element() {
        let hostile = "</td><script>alert('x')</script>\" onload=\"y & \u{202e}\u{7}";
        let text = escape(hostile);
        assert!(!text.contains(['<', '>', '"', '\'', '\u{202e}', '\u{7}']), "{text}");
        assert!(text.starts_with("&lt;/td&gt;&lt;script&gt;alert(&#39;x&#39;)"), "{text}");
        assert_eq!(escape("µm 3 × 3"), "µm 3 × 3");
    }
}
