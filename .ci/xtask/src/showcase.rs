//! A model with a case, as the page's demonstration shows them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use xshell::{Cmd, cmd};

use crate::command::run;
use crate::page;
use crate::steps::Steps;
use crate::workspace::{NATIVE, Workspace};

const MANIFEST: &str = "manifest.json";

/// Builds the page, and the programs that make and serve its demonstration.
///
/// # Errors
/// If a build fails.
pub fn build(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    let sh = &workspace.shell;
    steps.run("Build the page", || page::build(workspace, &workspace.page()))?;
    steps.run("Build the programs", || {
        // With the same packages as the tests, and therefore the same features.
        run(cmd!(sh, "cargo build {NATIVE...} --bin rewind --bin rewind-serve"))
    })
}

/// Returns the command that serves the page with the demonstration in `showcase`.
pub fn serve<'a>(workspace: &'a Workspace, showcase: &Path) -> Cmd<'a> {
    let (serve, page) = (workspace.program("rewind-serve"), workspace.page());
    cmd!(workspace.shell, "{serve} --page {page} --demo {showcase}")
}

/// A model of a showcase.
#[derive(Clone)]
pub struct Shown {
    /// The name in the page's list.
    pub name: String,
    /// The file name of the bundle, which lies in the showcase.
    pub bundle: String,
    /// The case and its file, which lies in the showcase.
    pub case: Option<(String, String)>,
}

/// Writes the page's `manifest.json`. The first model is open when the page starts.
///
/// # Errors
/// If the file cannot be written.
pub fn write_manifest(showcase: &Path, models: &[Shown]) -> Result<()> {
    let model = |Shown { name, bundle, case }: &Shown| match case {
        None => json!({ "name": name, "bundle": bundle }),
        Some((case, file)) => {
            json!({ "name": name, "bundle": bundle, "case": { "name": case, "files": [file] } })
        }
    };
    let manifest = json!({ "models": models.iter().map(model).collect::<Vec<_>>() });
    Ok(fs::write(showcase.join(MANIFEST), format!("{manifest:#}\n"))?)
}

/// Copies the models of a folder with a manifest to a showcase. Returns them without their cases.
///
/// # Errors
/// If the folder has no manifest of this form, or a file cannot be copied.
pub fn copy_models(folder: &Path, showcase: &Path) -> Result<Vec<Shown>> {
    let file = folder.join(MANIFEST);
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let manifest: Value = serde_json::from_slice(&text)?;
    fs::create_dir_all(showcase)?;
    let models = manifest["models"].as_array().into_iter().flatten();
    models
        .map(|model| {
            let text = |key: &str| {
                let text = model[key].as_str().map(str::to_string);
                text.with_context(|| format!("expected {key} in {}, found none", file.display()))
            };
            let (name, bundle) = (text("name")?, text("bundle")?);
            copy_over(&folder.join(&bundle), &showcase.join(&bundle))?;
            Ok(Shown { name, bundle, case: None })
        })
        .collect()
}

/// Copies a case that was not trained on beside the model. Returns the case's name and its file.
///
/// # Errors
/// If there is no prediction, or a file cannot be copied.
pub fn add_case(
    data_set: &DataSet,
    predictions: &Path,
    showcase: &Path,
) -> Result<(String, String)> {
    let entries = fs::read_dir(predictions)?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.retain(|name| name.ends_with(".nii.gz"));
    names.sort();
    let first = names.first().context("expected a prediction, found none")?;
    let name = first.trim_end_matches(".gz").trim_end_matches(".nii");
    let image = data_set.image(name)?;
    let file = image.file_name().context("a file has a name")?.to_string_lossy().into_owned();
    copy_over(&image, &showcase.join(&file))?;
    println!("  the page shows {name}");
    Ok((name.to_string(), file))
}

/// Copies a file over an earlier copy. A copy has the permissions of its original, and that of a
/// read-only file cannot be overwritten.
fn copy_over(file: &Path, copy: &Path) -> Result<()> {
    if copy.exists() {
        fs::remove_file(copy)?;
    }
    fs::copy(file, copy).with_context(|| format!("cannot copy {}", file.display()))?;
    Ok(())
}

/// The scans and label maps of a data set's `dataset.json`, which `rewind` has checked before.
pub struct DataSet {
    folder: PathBuf,
    /// An image's path and its label map's path, relative to the folder.
    cases: Vec<(String, String)>,
}

impl DataSet {
    /// Reads `dataset.json` in a folder.
    ///
    /// # Errors
    /// If the folder has no such file, or the file is not JSON.
    pub fn read(folder: &Path) -> Result<DataSet> {
        let file = folder.join("dataset.json");
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let json: Value = serde_json::from_slice(&text)?;
        let text = |case: &Value, key: &str| Some(case[key].as_str()?.to_string());
        let cases = json["training"].as_array().into_iter().flatten();
        let cases = cases.filter_map(|case| Some((text(case, "image")?, text(case, "label")?)));
        Ok(DataSet { folder: folder.to_path_buf(), cases: cases.collect() })
    }

    /// Returns the name of the data set's folder.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the folder of the label maps.
    ///
    /// # Errors
    /// If there is no case.
    pub fn labels_folder(&self) -> Result<PathBuf> {
        let (_, label) =
            self.cases.first().context("expected cases in dataset.json, found none")?;
        let file = self.folder.join(label);
        Ok(file.parent().unwrap_or(&self.folder).to_path_buf())
    }

    /// Returns the path of a case's scan.
    fn image(&self, case: &str) -> Result<PathBuf> {
        let is_case = |image: &str| {
            let file = image.rsplit('/').next().unwrap_or(image);
            file.trim_end_matches(".gz").trim_end_matches(".nii") == case
        };
        match self.cases.iter().find(|(image, _)| is_case(image)) {
            Some((image, _)) => Ok(self.folder.join(image)),
            None => bail!("expected the case {case} in dataset.json, found no such case"),
        }
    }
}
