//! Models of real scans: trained, measured, exported and packed for the page.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::run;
use crate::show::{DataSet, build, pack};
use crate::steps::Steps;
use crate::workspace::Workspace;

/// A model that can be made.
struct Model {
    /// Its name, its data set's folder and that of its settings.
    name: &'static str,
    /// Its name in the page.
    title: &'static str,
    /// What its user must know.
    warning: &'static str,
    /// Parts of a cross-validation, or 0; the exported model is that of the first fold.
    folds: usize,
}

/// The models' names.
pub const NAMES: [&str; 2] = [MODELS[0].name, MODELS[1].name];

const MODELS: [Model; 2] = [
    Model {
        name: "hippocampus",
        title: "Hippocampus, T1 (Decathlon task 4)",
        warning: "Trained for minutes on 160 scans of one center, each cropped around one \
                  hippocampus: it has never seen a whole head.",
        folds: 5,
    },
    Model {
        name: "lgg64",
        title: "Lower-grade glioma, FLAIR abnormality (TCGA, 64 × 64)",
        warning: "Trained for minutes on 70 scans reduced to 64 × 64 voxels in-plane: it finds \
                  large abnormalities roughly, and misses small ones.",
        folds: 0,
    },
];

/// Makes the models, or the one that is named. What an earlier run has made is used again, and a
/// training that was stopped goes on.
///
/// # Errors
/// When a step fails; the error says how to run it again.
pub fn models(workspace: &Workspace, data: &Path, only: Option<&str>) -> Result<()> {
    let data =
        data.canonicalize().with_context(|| format!("no data sets in {}", data.display()))?;
    let steps = &mut Steps::new();
    build(workspace, steps)?;
    let wanted = |model: &&Model| only.is_none_or(|only| only == model.name);
    let mut made = Vec::new();
    for model in MODELS.iter().filter(wanted) {
        steps.run(model.name, || make(workspace, &data, model))?;
        made.push(folder(workspace, model).join("page"));
    }
    steps.summary();
    println!("\nto open them in the page:");
    for show in made {
        let mut serve = Command::new(workspace.program("rewind-serve"));
        serve.arg("--page").arg(workspace.page()).arg("--demo").arg(show);
        println!("  {}", crate::command::line(&serve));
    }
    Ok(())
}

fn folder(workspace: &Workspace, model: &Model) -> std::path::PathBuf {
    workspace.target.join("rewind-models").join(model.name)
}

fn make(workspace: &Workspace, data: &Path, model: &Model) -> Result<()> {
    let rewind = |command: &str| {
        let mut rewind = Command::new(workspace.program("rewind"));
        rewind.arg(command).current_dir(&workspace.root);
        rewind
    };
    let (data, own) = (data.join(model.name), folder(workspace, model));
    let (show, predictions) = (own.join("page"), own.join("predictions"));
    let config = format!("trainer/configs/{}.toml", model.name);
    let mut train = rewind("train");
    train.arg("--data").arg(&data).args(["--config", &config, "--device", "cpu"]);
    let trained = match model.folds {
        0 => own.join("run"),
        folds => {
            train.args(["--folds", &folds.to_string()]);
            own.join("run/fold-0")
        }
    };
    run(train.arg("--out").arg(own.join("run")))?;
    if predictions.exists() {
        fs::remove_dir_all(&predictions)?;
    }
    let mut predict = rewind("predict");
    predict.arg("--model").arg(&trained).arg("--data").arg(&data);
    run(predict.args(["--split", "held-out", "--device", "cpu", "--out"]).arg(&predictions))?;
    fs::create_dir_all(&show)?;
    let mut export = rewind("export");
    export.arg("--run").arg(&trained).args(["--f16", "--name", model.title]);
    export.args(["--warning", model.warning, "--card"]).arg(show.join("MODEL_CARD.md"));
    run(export.arg("--out").arg(show.join("model.safetensors")))?;
    pack(&DataSet::read(&data)?, &predictions, &show)
}
