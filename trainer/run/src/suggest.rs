//! Helps with misspelled names.

/// Returns the line "did you mean …?" for serde's message about an unknown name, which lists the known
/// names in backticks after the unknown one; empty if no known name is similar.
pub fn did_you_mean(message: &str) -> String {
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next() else { return String::new() };
    match quoted.map(|known| (strsim::levenshtein(unknown, known), known)).min() {
        Some((distance, known)) if distance <= 1 + unknown.len() / 3 => {
            format!("\ndid you mean `{known}`?")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_similar_names_are_suggested() {
        let message = "unknown field `stepz`, expected one of `seed`, `steps`";
        assert_eq!(did_you_mean(message), "\ndid you mean `steps`?");
        assert_eq!(did_you_mean("unknown field `color`, expected one of `seed`, `steps`"), "");
        assert_eq!(did_you_mean("invalid type: string"), "");
    }
}
