//! `cargo xtask models`: trains models on real scans and exports each with a case for the page.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{command, line, run};
use crate::showcase::{DataSet, Shown, add_case, build, serve, write_manifest};
use crate::steps::Steps;
use crate::workspace::Workspace;

/// The description of a model.
struct Model {
    /// The name of the model, of its data set's folder and of its settings file.
    name: &'static str,
    /// The name that the page shows.
    title: &'static str,
    /// The limits that the page shows.
    warning: &'static str,
    /// The number of folds of a cross-validation, or 0. The exported model is that of the first
    /// fold.
    num_folds: usize,
}

/// The names of the models.
pub const NAMES: [&str; 2] = [MODELS[0].name, MODELS[1].name];

const MODELS: [Model; 2] = [
    Model {
        name: "hippocampus",
        title: "Hippocampus, T1 (Decathlon task 4)",
        warning: "Trained for minutes on 160 scans of one center, each cropped around one \
                  hippocampus: it has never seen a whole head.",
        num_folds: 5,
    },
    Model {
        name: "lgg64",
        title: "Lower-grade glioma, FLAIR abnormality (TCGA, 64 × 64)",
        warning: "Trained for minutes on 70 scans reduced to 64 × 64 voxels in-plane: it finds \
                  large abnormalities roughly, and misses small ones.",
        num_folds: 0,
    },
];

/// Makes all models, or the named one. Keeps the results of earlier runs, and continues a training
/// that was stopped.
///
/// # Errors
/// If a step fails. The error contains the line to run it again.
pub fn models(workspace: &Workspace, data: &Path, only: Option<&str>) -> Result<()> {
    let data =
        data.canonicalize().with_context(|| format!("no data sets in {}", data.display()))?;
    let steps = &mut Steps::new();
    build(workspace, steps)?;
    let is_selected = |model: &&Model| only.is_none_or(|only| only == model.name);
    let mut showcases = Vec::new();
    for model in MODELS.iter().filter(is_selected) {
        showcases.push(steps.run(model.name, || make(workspace, &data, model))?);
    }
    steps.print_summary();
    println!("\nto open them in the page:");
    for showcase in showcases {
        println!("  {}", line(&command(serve(workspace, &showcase))));
    }
    Ok(())
}

/// Makes one model and returns the folder with its bundle and its case.
fn make(workspace: &Workspace, data: &Path, model: &Model) -> Result<PathBuf> {
    let data = data.join(model.name);
    let folder = workspace.target.join("rewind-models").join(model.name);
    let (showcase, predictions) = (folder.join("page"), folder.join("predictions"));

    let config = format!("trainer/configs/{}.toml", model.name);
    let mut train = workspace.rewind().arg("train").arg("--data").arg(&data);
    train = train.args(["--config", &config, "--device", "cpu"]);
    let trained = match model.num_folds {
        0 => folder.join("run"),
        num_folds => {
            train = train.args(["--folds", &num_folds.to_string()]);
            folder.join("run/fold-0")
        }
    };
    run(train.arg("--out").arg(folder.join("run")))?;

    if predictions.exists() {
        fs::remove_dir_all(&predictions)?;
    }
    let predict = workspace.rewind().arg("predict").arg("--model").arg(&trained);
    let predict = predict.arg("--data").arg(&data).args(["--split", "held-out"]);
    run(predict.args(["--device", "cpu", "--out"]).arg(&predictions))?;

    fs::create_dir_all(&showcase)?;
    let export = workspace.rewind().arg("export").arg("--run").arg(&trained);
    let export = export.args(["--f16", "--name", model.title, "--warning", model.warning]);
    let export = export.arg("--card").arg(showcase.join("MODEL_CARD.md"));
    run(export.arg("--out").arg(showcase.join("model.safetensors")))?;
    let case = Some(add_case(&DataSet::read(&data)?, &predictions, &showcase)?);
    let (name, bundle) = (model.title.to_string(), "model.safetensors".to_string());
    write_manifest(&showcase, &[Shown { name, bundle, case }])?;
    Ok(showcase)
}
