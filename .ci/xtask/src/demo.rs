//! The whole path in one command: data, training, evaluation, export, and the page that shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::run;
use crate::show::{DataSet, build, pack};
use crate::steps::Steps;
use crate::workspace::Workspace;

/// Phantoms to train on; every fifth is held out, to choose the best weights by.
const TRAINING_CASES: u64 = 20;
/// Phantoms that neither training nor the choice of weights has seen.
const UNSEEN_CASES: u64 = 4;
/// A phantom is a function of its seed; these two ranges never meet.
const TRAINING_SEED: u64 = 1;
const UNSEEN_SEED: u64 = 1_000_001;
/// About two minutes on two cores, at 32³ voxels a patch.
const STEPS: usize = 650;

const NAME: &str = "Demonstration model (synthetic phantoms)";
const WARNING: &str = "Trained on synthetic phantoms for two minutes, to show how the page works. \
                       What it says about a real scan means nothing.";

/// What the command line asks for.
pub struct Demo {
    /// A data set to train on, instead of phantoms.
    pub data: Option<PathBuf>,
    /// Voxels of a phantom along each axis.
    pub size: usize,
    /// Optimizer steps, if not about two minutes' worth.
    pub steps: Option<usize>,
    /// Where the page is served; `None` stops before.
    pub listen: Option<String>,
    /// Whether what was made before is removed first.
    pub fresh: bool,
}

/// Where one demonstration's parts lie; a second demonstration, of another data set or size, has
/// its own.
struct Folders {
    training: PathBuf,
    /// Phantoms that are not trained on; none with real data, where the run holds cases out.
    unseen: Option<PathBuf>,
    run: PathBuf,
    predictions: PathBuf,
    show: PathBuf,
}

/// Goes the whole path. What an earlier run has made is used again, and a training that was
/// stopped goes on.
///
/// # Errors
/// When a step fails; the error says how to run it again.
pub fn demo(workspace: &Workspace, demo: Demo) -> Result<()> {
    let all = workspace.target.join("rewind-demo");
    if demo.fresh && all.exists() {
        fs::remove_dir_all(&all).with_context(|| format!("cannot remove {}", all.display()))?;
    }
    let folders = folders(&all, &demo)?;
    let rewind = || {
        let mut command = Command::new(workspace.program("rewind"));
        command.current_dir(&workspace.root);
        command
    };
    let steps = &mut Steps::new();

    build(workspace, steps)?;
    if let Some(unseen) = &folders.unseen {
        steps.run("Make phantoms", || {
            let make = |folder: &Path, cases: u64, seed: u64| {
                let mut command = rewind();
                let numbers = [("--cases", cases), ("--seed", seed), ("--size", demo.size as u64)];
                command.arg("phantom");
                numbers.iter().for_each(|(name, n)| {
                    command.args([name, n.to_string().as_str()]);
                });
                make_whole(folder, |partial| run(command.arg("--out").arg(partial)))
            };
            make(&folders.training, TRAINING_CASES, TRAINING_SEED)?;
            make(unseen, UNSEEN_CASES, UNSEEN_SEED)
        })?;
    }
    steps.run("Train", || {
        let mut command = rewind();
        let steps = demo.steps.unwrap_or(STEPS).to_string();
        command.args(["train", "--config", "trainer/configs/demo.toml", "--steps", &steps]);
        if folders.unseen.is_some() {
            command.args(["--foreground", "nonzero"]);
        }
        run(command.arg("--data").arg(&folders.training).arg("--out").arg(&folders.run))
            .context("`cargo xtask demo --fresh` starts over where an earlier run is in the way")
    })?;
    let test_cases = folders.unseen.as_ref().unwrap_or(&folders.training);
    let data_set = DataSet::read(test_cases)?;
    steps.run("Segment cases that were not trained on, and score them", || {
        if folders.predictions.exists() {
            fs::remove_dir_all(&folders.predictions)?;
        }
        let mut predict = rewind();
        predict.arg("predict").arg("--model").arg(&folders.run).arg("--data").arg(test_cases);
        if folders.unseen.is_none() {
            predict.args(["--split", "held-out"]);
        }
        run(predict.arg("--out").arg(&folders.predictions))?;
        let mut evaluate = rewind();
        evaluate.arg("evaluate").arg(&folders.predictions).arg(data_set.labels_folder()?);
        if folders.unseen.is_none() {
            // Only the cases that were held out have a prediction.
            evaluate.args(["--missing", "skip"]);
        }
        run(evaluate.arg("--task").arg(&folders.run))
    })?;
    steps.run("Export the model and pack the demonstration", || {
        fs::create_dir_all(&folders.show)?;
        let mut export = rewind();
        export.arg("export").arg("--run").arg(&folders.run);
        export.arg("--out").arg(folders.show.join("model.safetensors"));
        if folders.unseen.is_some() {
            export.args(["--name", NAME, "--warning", WARNING]);
        }
        run(&mut export)?;
        pack(&data_set, &folders.predictions, &folders.show)
    })?;
    steps.summary();

    let page = workspace.page();
    let mut serve = Command::new(workspace.program("rewind-serve"));
    serve.arg("--page").arg(&page).arg("--demo").arg(&folders.show);
    let Some(listen) = demo.listen else {
        println!("\nto open the page:\n  {}", crate::command::line(&serve));
        return Ok(());
    };
    println!("\nOpen http://{listen}/ in a browser with WebGPU; Ctrl-C ends the server.");
    run(serve.args(["--listen", &listen]))
}

fn folders(all: &Path, demo: &Demo) -> Result<Folders> {
    let (name, data) = match &demo.data {
        None => (format!("phantoms-{}", demo.size), None),
        Some(data) => {
            let found = data.canonicalize();
            let data = found.with_context(|| format!("no data set in {}", data.display()))?;
            let name = data.file_name().context("expected a folder with a name, found none")?;
            (name.to_string_lossy().into_owned(), Some(data))
        }
    };
    let own = all.join(name);
    Ok(Folders {
        unseen: data.is_none().then(|| own.join("unseen")),
        training: data.unwrap_or_else(|| own.join("training")),
        run: own.join(format!("run-{}", demo.steps.unwrap_or(STEPS))),
        predictions: own.join("predictions"),
        show: own.join("page"),
    })
}

/// Makes a folder under another name first, so that one with this name is whole.
fn make_whole(folder: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if folder.exists() {
        println!("  {} is there already", folder.display());
        return Ok(());
    }
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    make(&partial)?;
    Ok(fs::rename(&partial, folder)?)
}
