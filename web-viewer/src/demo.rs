//! The demonstration's manifest: names the model and the case among the folder's files.

use serde::{Deserialize, Serialize};

/// The `manifest.json` of a demonstration's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The file name of the model bundle.
    pub bundle: String,
    /// The case.
    pub case: ManifestCase,
}

/// A demonstration's case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestCase {
    /// The case's name.
    pub name: String,
    /// File names: one file with all channels, or one file for each channel in the task's order.
    pub files: Vec<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// A message for the user if the JSON is invalid, a name is not that of a file in the folder, or the
    /// case has no files.
    pub fn parse(json: &[u8]) -> Result<Manifest, String> {
        let text = model_core::utf8_text(json).map_err(|error| error.to_string())?;
        let manifest: Manifest = model_core::from_json(text)
            .map_err(|e| format!("expected a demonstration's manifest, found {e}"))?;
        let is_file_name =
            |name: &str| !name.is_empty() && !name.contains(['/', '\\', ':', '?', '#']);
        let mut names = std::iter::once(&manifest.bundle).chain(&manifest.case.files);
        if let Some(name) = names.find(|name| !is_file_name(name)) {
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
