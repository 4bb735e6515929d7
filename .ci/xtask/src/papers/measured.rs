//! What was measured, in a file of the repository: the tables are made from it, and another machine
//! continues there.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// Measured values by name.
pub struct Measured {
    file: PathBuf,
    values: Map<String, Value>,
}

impl Measured {
    /// Reads a file; nothing is measured if there is none.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn open(file: PathBuf) -> Result<Measured> {
        let values = match file.exists() {
            true => serde_json::from_slice(&fs::read(&file)?)
                .with_context(|| format!("cannot use {}", file.display()))?,
            false => Map::new(),
        };
        Ok(Measured { file, values })
    }

    /// Returns a value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Adds a value and writes the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn insert(&mut self, name: String, value: Value) -> Result<()> {
        self.values.insert(name, value);
        // One line a value, so that changes can be read.
        let lines: Vec<String> = self
            .values
            .iter()
            .map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())))
            .collect();
        let part = self.file.with_extension("part");
        fs::write(&part, format!("{{\n{}\n}}\n", lines.join(",\n")))?;
        Ok(fs::rename(&part, &self.file)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_has_what_was_inserted() {
        let file = std::env::temp_dir().join("rewind-xtask-measured.json");
        let _ = fs::remove_file(&file);
        let mut measured = Measured::open(file.clone()).unwrap();
        assert!(measured.get("b \"1\"").is_none());
        measured.insert("b \"1\"".into(), json!({ "x": [1.5, 2] })).unwrap();
        measured.insert("a".into(), json!(null)).unwrap();
        let again = Measured::open(file).unwrap();
        assert_eq!(again.get("b \"1\""), Some(&json!({ "x": [1.5, 2] })));
    }
}
