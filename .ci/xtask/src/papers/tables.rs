//! Markdown tables, and their places in a document.

use anyhow::{Context, Result, ensure};

/// A table with its name in the document.
pub struct Table {
    /// The name in the document's mark.
    pub name: &'static str,
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns a table without rows.
    pub fn new(name: &'static str, headings: &[&str]) -> Table {
        let headings = headings.iter().map(|heading| heading.to_string()).collect();
        Table { name, headings, rows: Vec::new() }
    }

    /// Adds a row, with a cell for each heading.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.headings.len(), "{}", self.name);
        self.rows.push(cells);
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = vec!["---".to_string(); self.headings.len()];
        let head = line(&self.headings) + &format!("|{}|\n", rule.join("|"));
        self.rows.iter().fold(head, |text, row| text + &line(row))
    }
}

/// Returns a number's mean and standard deviation over runs.
pub fn mean_and_deviation(values: &[f64], decimals: usize) -> String {
    if values.is_empty() {
        return "–".into();
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    if values.len() < 2 {
        return format!("{mean:.decimals$}");
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (values.len() - 1) as f64).sqrt();
    format!("{mean:.decimals$} ± {deviation:.decimals$}")
}

/// Replaces the tables of a document: what is between `<!-- table: NAME -->` and `<!-- end -->`.
/// Tables without rows stay as they are.
///
/// # Errors
/// If the document has no place for a table.
pub fn replace(document: &str, tables: &[Table]) -> Result<String> {
    let mut text = document.to_string();
    for table in tables.iter().filter(|table| !table.rows.is_empty()) {
        let mark = format!("<!-- table: {} -->\n", table.name);
        let missing = || format!("expected {mark:?} and an end in the document, found none");
        let start = text.find(&mark).with_context(missing)? + mark.len();
        let end = start + text[start..].find("<!-- end -->").with_context(missing)?;
        ensure!(!text[start..end].contains("<!-- table"), missing());
        text.replace_range(start..end, &table.markdown());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_its_place_in_the_document() {
        let mut table = Table::new("a", &["x", "y"]);
        table.row(vec!["1".into(), mean_and_deviation(&[1.0, 3.0], 1)]);
        let document = "A\n<!-- table: a -->\nold\n<!-- end -->\nB\n";
        let expected =
            "A\n<!-- table: a -->\n| x | y |\n|---|---|\n| 1 | 2.0 ± 1.4 |\n<!-- end -->\nB\n";
        let replaced = replace(document, &[table]).unwrap();
        assert_eq!(replaced, expected);
        let mut other = Table::new("b", &["x"]);
        assert!(
            replace(document, std::slice::from_ref(&other)).is_ok(),
            "an empty table needs no place"
        );
        other.row(vec!["1".into()]);
        assert!(replace(document, &[other]).is_err());
    }
}
