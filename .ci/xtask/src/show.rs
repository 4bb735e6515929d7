//! A model and a case beside it, as the page shows them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::command::{cargo, run};
use crate::page;
use crate::steps::Steps;
use crate::workspace::{NATIVE, Workspace};

/// Builds the page, and the programs that make and serve what it shows.
///
/// # Errors
/// When a build fails.
pub fn build(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("Build the page", || page::build(workspace, &workspace.page()))?;
    steps.run("Build the programs", || {
        // Of all packages that tests select too, so that features are the same, only what is needed.
        let programs = ["--bin", "rewind", "--bin", "rewind-serve"];
        let build = [&["build"], NATIVE, &programs[..]].concat();
        run(cargo(build).current_dir(&workspace.root))
    })
}

/// Copies a case that was not trained on beside the model, and writes what the page reads.
///
/// # Errors
/// When there is no prediction, or a file cannot be copied.
pub fn pack(data_set: &DataSet, predictions: &Path, show: &Path) -> Result<()> {
    let predicted = fs::read_dir(predictions)?;
    let mut names = predicted
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.retain(|name| name.ends_with(".nii.gz"));
    names.sort();
    let first = names.first().context("expected a prediction, found none")?;
    let name = first.trim_end_matches(".gz").trim_end_matches(".nii");
    let image = data_set.image(name)?;
    let file = image.file_name().context("a file has a name")?.to_string_lossy().into_owned();
    // A copy has its original's permissions: that of a read-only scan cannot be written over.
    let shown = show.join(&file);
    if shown.exists() {
        fs::remove_file(&shown)?;
    }
    fs::copy(&image, &shown).with_context(|| format!("cannot copy {}", image.display()))?;
    let case = json!({ "name": name, "files": [file] });
    let manifest = json!({ "bundle": "model.safetensors", "case": case });
    fs::write(show.join("manifest.json"), format!("{manifest:#}\n"))?;
    println!("  the page shows {name}");
    Ok(())
}

/// A data set's `dataset.json`, which `rewind` has checked by the time that it is read here.
pub struct DataSet {
    folder: PathBuf,
    pairs: Vec<(String, String)>,
}

impl DataSet {
    /// Reads it.
    ///
    /// # Errors
    /// When the folder holds none.
    pub fn read(folder: &Path) -> Result<DataSet> {
        let file = folder.join("dataset.json");
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let json: Value = serde_json::from_slice(&text)?;
        let text = |pair: &Value, key: &str| Some(pair[key].as_str()?.to_string());
        let pairs = json["training"].as_array().into_iter().flatten();
        let pairs = pairs.filter_map(|pair| Some((text(pair, "image")?, text(pair, "label")?)));
        Ok(DataSet { folder: folder.to_path_buf(), pairs: pairs.collect() })
    }

    /// The folder of the label maps.
    ///
    /// # Errors
    /// When there is no case.
    pub fn labels_folder(&self) -> Result<PathBuf> {
        let (_, label) =
            self.pairs.first().context("expected cases in dataset.json, found none")?;
        let file = self.folder.join(label);
        Ok(file.parent().unwrap_or(&self.folder).to_path_buf())
    }

    /// The scan of a case by name.
    fn image(&self, name: &str) -> Result<PathBuf> {
        let is = |image: &str| {
            let file = image.rsplit('/').next().unwrap_or(image);
            file.trim_end_matches(".gz").trim_end_matches(".nii") == name
        };
        match self.pairs.iter().find(|(image, _)| is(image)) {
            Some((image, _)) => Ok(self.folder.join(image)),
            None => bail!("expected the case {name} in dataset.json, found none of that name"),
        }
    }
}
