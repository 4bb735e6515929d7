//! `cargo xtask models`: trains the models that the page offers, and exports each with its card.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{command, line, run};
use crate::showcase::{Shown, build, serve, write_manifest};
use crate::steps::Steps;
use crate::workspace::Workspace;

/// The folder of the models in the repository.
pub const FOLDER: &str = "web-viewer/models";

/// The description of a model.
struct Model {
    /// The name of the bundle, of its card and of its settings file.
    name: &'static str,
    /// The name of the folder of its data set.
    data: &'static str,
    /// The task, if the data set does not state it.
    task: Option<&'static str>,
    /// The name that the page shows.
    title: &'static str,
    /// The data by name, and their terms.
    data_name: &'static str,
    license: &'static str,
    /// The limits that the page shows.
    warning: &'static str,
    known_failures: &'static [&'static str],
    /// The least volume of a region in the reference of a scored case, in ml.
    least_ml: &'static str,
}

/// The names of the models.
pub const NAMES: [&str; 2] = [MODELS[0].name, MODELS[1].name];

const NUM_FOLDS: &str = "5";

const MODELS: [Model; 2] = [
    Model {
        name: "glioma-2mm",
        data: "glioma2mm",
        task: Some("brats2021"),
        title: "Glioma, 2 mm (BraTS)",
        data_name: "21 cases of BraTS 2018 to 2023 at 2 mm",
        license: "BraTS terms: research use only, cite the data sets",
        warning: "Trained for half an hour of one processor core on 21 scans at 2 mm, all before \
                  treatment. Check every border.",
        known_failures: &[
            "Tumors below 60 ml: it marks about twice their volume (whole tumor, Dice 0.61 in 6 cases).",
            "Tumors that hardly enhance: it confuses edema and core (tumor core, Dice 0.42 in 5 cases).",
            "Away from the tumor it marks small pieces of tissue that is bright in FLAIR.",
            "Scans after an operation: it has seen none, and marks the cavity as core.",
        ],
        least_ml: "1",
    },
    Model {
        name: "hippocampus",
        data: "hippocampus",
        task: None,
        title: "Hippocampus, T1 (Decathlon task 4)",
        data_name: "200 cases of Medical Segmentation Decathlon, task 4",
        license: "CC-BY-SA 4.0",
        warning: "Trained on scans of one center, each cropped around one hippocampus: it has \
                  never seen a whole head.",
        known_failures: &[],
        least_ml: "0",
    },
];

/// Makes all models, or the named one. Continues a training that was stopped. The same machine makes
/// the same bytes.
///
/// # Errors
/// If a step fails. The error contains the line to run it again.
pub fn models(workspace: &Workspace, data: &Path, only: Option<&str>) -> Result<()> {
    let data =
        data.canonicalize().with_context(|| format!("no data sets in {}", data.display()))?;
    let steps = &mut Steps::new();
    build(workspace, steps)?;
    let is_selected = |model: &&Model| only.is_none_or(|only| only == model.name);
    for model in MODELS.iter().filter(is_selected) {
        steps.run(model.name, || make(workspace, &data, model))?;
    }
    let folder = workspace.root.join(FOLDER);
    let offered = MODELS.iter().map(|model| Shown {
        name: model.title.to_string(),
        bundle: bundle_name(model),
        case: None,
    });
    let offered: Vec<Shown> = offered.filter(|model| folder.join(&model.bundle).exists()).collect();
    write_manifest(&folder, &offered)?;
    steps.print_summary();
    println!("\nto open them in the page:\n  {}", line(&command(serve(workspace, &folder))));
    Ok(())
}

fn bundle_name(model: &Model) -> String {
    format!("{}.safetensors", model.name)
}

/// Measures a model by cross-validation, trains it on all cases, and exports it.
fn make(workspace: &Workspace, data: &Path, model: &Model) -> Result<()> {
    let runs = workspace.target.join("rewind-models").join(model.name);
    let (folds, all) = (runs.join("folds"), runs.join("all"));
    let config = format!("trainer/configs/{}.toml", model.name);
    let train = |split: [&str; 2], out: &Path| {
        let mut train = workspace.rewind().arg("train").arg("--data").arg(data.join(model.data));
        train = train.args(["--config", &config, "--device", "cpu", "--deterministic"]).args(split);
        if let Some(task) = model.task {
            train = train.args(["--task", task]);
        }
        run(train.arg("--out").arg(out))
    };
    train(["--folds", NUM_FOLDS], &folds)?;
    train(["--held-out", "0"], &all)?;

    let folder = workspace.root.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let mut export = workspace.rewind().arg("export").arg("--run").arg(&all);
    export = export.arg("--cross-validation").arg(&folds).args(["--least-ml", model.least_ml]);
    export = export.args(["--f16", "--name", model.title, "--warning", model.warning]);
    export = export.args(["--data-name", model.data_name, "--license", model.license]);
    for failure in model.known_failures {
        export = export.args(["--known-failure", failure]);
    }
    export = export.arg("--card").arg(folder.join(format!("{}.md", model.name)));
    run(export.arg("--out").arg(folder.join(bundle_name(model))))
}
