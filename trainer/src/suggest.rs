//! Helps with misspelt names.

/// A line "did you mean …?" for serde's message about an unknown name, which lists the known ones
/// in backticks after the unknown one; empty where none is near.
pub fn did_you_mean(message: &str) -> String {
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next() else { return String::new() };
    match quoted.map(|known| (edit_distance(unknown, known), known)).min() {
        Some((distance, known)) if distance <= 1 + unknown.len() / 3 => {
            format!("\ndid you mean `{known}`?")
        }
        _ => String::new(),
    }
}

/// Insertions, deletions and substitutions between two words (Levenshtein 1966).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        assert_eq!(edit_distance("flip", "flip"), 0);
        assert_eq!(edit_distance("flips", "flip"), 1);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }

    #[test]
    fn only_near_names_are_suggested() {
        let message = "unknown field `stepz`, expected one of `seed`, `steps`";
        assert_eq!(did_you_mean(message), "\ndid you mean `steps`?");
        assert_eq!(did_you_mean("unknown field `color`, expected one of `seed`, `steps`"), "");
        assert_eq!(did_you_mean("invalid type: string"), "");
    }
}
