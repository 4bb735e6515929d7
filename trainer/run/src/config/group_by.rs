//! The setting `group_by`, which finds the cases of one patient.

use anyhow::{Context, Result};
use regex::{Regex, RegexBuilder};

/// The value of `group_by` for which each case is a patient.
pub const BY_CASE: &str = "case";

/// Compiles a pattern that ignores case.
///
/// # Errors
/// If the text is not a regular expression.
pub fn patient_pattern(text: &str) -> Result<Regex> {
    let built = RegexBuilder::new(text).case_insensitive(true).build();
    built.with_context(|| format!("expected group_by to be {BY_CASE} or a regular expression"))
}

/// Checks a value of `group_by`.
///
/// # Errors
/// If the value is neither [`BY_CASE`] nor a regular expression.
pub fn check_group_by(group_by: &str) -> Result<()> {
    if group_by != BY_CASE {
        patient_pattern(group_by)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unbalanced_pattern_is_refused() {
        assert!(check_group_by("(").is_err() && check_group_by(BY_CASE).is_ok());
    }
}
