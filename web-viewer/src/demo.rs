//! The demonstration's manifest: which files of the folder are its model and its case.

use serde::{Deserialize, Serialize};

/// `manifest.json` of a demonstration's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The model bundle.
    pub bundle: String,
    /// The case.
    pub case: ManifestCase,
}

/// The case of a demonstration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestCase {
    /// Its name.
    pub name: String,
    /// One file with all channels, or one a channel in the task's order.
    pub files: Vec<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(json: &[u8]) -> Result<Manifest, String> {
        let text = model_core::utf8_text(json).map_err(|error| error.to_string())?;
        let manifest: Manifest = serde_json::from_str(text)
            .map_err(|e| format!("expected a demonstration's manifest, found {e}"))?;
        let is_plain = |name: &str| !name.is_empty() && !name.contains(['/', '\\', ':', '?', '#']);
        let mut names = std::iter::once(&manifest.bundle).chain(&manifest.case.files);
        if let Some(name) = names.find(|name| !is_plain(name)) {
            return Err(format!("expected names of files in the folder, found {name:?}"));
        }
        match manifest.case.files.is_empty() {
            true => Err("expected files of a case, found none".into()),
            false => Ok(manifest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_files_of_its_folder_only() {
        let json = |file: &str| {
            let text = r#"{"bundle": "m.safetensors", "case": {"name": "A", "files": ["FILE"]}}"#;
            Manifest::parse(text.replace("FILE", file).as_bytes())
        };
        assert_eq!(json("a.nii.gz").unwrap().case.files, ["a.nii.gz"]);
        for file in ["", "../a", "/a", "https://example.org/a", "a?b"] {
            assert!(json(file).is_err(), "{file}");
        }
        assert!(Manifest::parse(br#"{"bundle": "m"}"#).is_err());
    }
}
