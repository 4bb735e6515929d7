//! The server's manifest: the models that it offers, each with a case to try it on.

use serde::{Deserialize, Serialize};

/// The most models that a server offers.
const MAX_MODELS: usize = 64;

/// The `manifest.json` of the folder of models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The models. The first is open when the page starts.
    pub models: Vec<OfferedModel>,
}

/// A model of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfferedModel {
    /// The name in the list of models.
    pub name: String,
    /// The file name of the model bundle.
    pub bundle: String,
    /// A case to try the model on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<ManifestCase>,
}

/// A case of the server.
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
    /// A message for the user if the JSON is invalid, if there is no model or too many, if a name is
    /// not that of a file in the folder, or if a case has no files.
    pub fn parse(json: &[u8]) -> Result<Manifest, String> {
        let text = model_core::utf8_text(json).map_err(|error| error.to_string())?;
        let manifest: Manifest = model_core::from_json(text)
            .map_err(|e| format!("expected a manifest of models, found {e}"))?;
        let count = manifest.models.len();
        if !(1..=MAX_MODELS).contains(&count) {
            return Err(format!("expected 1 to {MAX_MODELS} models, found {count}"));
        }
        let is_file_name =
            |name: &str| !name.is_empty() && !name.contains(['/', '\\', ':', '?', '#']);
        let cases = || manifest.models.iter().filter_map(|model| model.case.as_ref());
        let bundles = manifest.models.iter().map(|model| &model.bundle);
        let mut names = bundles.chain(cases().flat_map(|case| &case.files));
        if let Some(name) = names.find(|name| !is_file_name(name)) {
            return Err(format!("expected names of files in the folder, found {name:?}"));
        }
        if let Some(model) = manifest.models.iter().find(|model| model.name.trim().is_empty()) {
            return Err(format!("expected a name for every model, found none of {}", model.bundle));
        }
        match cases().any(|case| case.files.is_empty()) {
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
            let text = r#"{"models": [{"name": "M", "bundle": "m.safetensors"},
                {"name": "N", "bundle": "FILE", "case": {"name": "A", "files": ["FILE"]}}]}"#;
            Manifest::parse(text.replace("FILE", file).as_bytes())
        };
        let manifest = json("a.nii.gz").unwrap();
        assert_eq!(manifest.models[1].case.as_ref().unwrap().files, ["a.nii.gz"]);
        assert_eq!((manifest.models.len(), &manifest.models[0].case), (2, &None));
        for file in ["", "../a", "/a", "https://example.org/a", "a?b"] {
            assert!(json(file).is_err(), "{file}");
        }
        for text in [
            r#"{"models": []}"#,
            r#"{"bundle": "m"}"#,
            r#"{"models": [{"name": " ", "bundle": "m"}]}"#,
            r#"{"models": [{"name": "M", "bundle": "m", "case": {"name": "A", "files": []}}]}"#,
        ] {
            assert!(Manifest::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
