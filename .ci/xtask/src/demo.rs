//! `cargo xtask demo`: data, training, evaluation, export, and the page that shows the result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result, ensure};

use crate::command::{command, line, run};
use crate::models;
use crate::showcase::{DataSet, Shown, add_case, build, copy_models, serve, write_manifest};
use crate::steps::Steps;
use crate::workspace::Workspace;

/// The number of phantoms to train on. Every fifth is held out, to choose the best weights.
const TRAINING_CASES: u64 = 20;
/// The number of phantoms that neither training nor the choice of weights uses.
const UNSEEN_CASES: u64 = 4;
/// The first seed of each set. A phantom is a function of its seed, and the two ranges never
/// overlap.
const TRAINING_SEED: u64 = 1;
const UNSEEN_SEED: u64 = 1_000_001;
/// About two minutes on two cores, with patches of 32³ voxels.
const STEPS: usize = 650;

const NAME: &str = "Demonstration model (synthetic phantoms)";
const WARNING: &str = "Trained on synthetic phantoms for two minutes, to show how the page works. \
                       Its result for a real scan means nothing.";

/// The options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct DemoOptions {
    /// Train on this data set in the Decathlon's layout, instead of phantoms
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Voxels of a phantom along each axis
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Optimizer steps [default: about two minutes on two cores]
    #[arg(long)]
    steps: Option<usize>,
    /// The address of the page
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Stop before serving the page
    #[arg(long)]
    no_serve: bool,
    /// Remove the results of earlier runs first
    #[arg(long)]
    fresh: bool,
}

/// The folders of one demonstration. A demonstration of another data set or size has other folders.
struct Folders {
    training: PathBuf,
    /// Phantoms that are not trained on; `None` with real data, where the run holds cases out.
    unseen: Option<PathBuf>,
    run: PathBuf,
    predictions: PathBuf,
    showcase: PathBuf,
}

/// Runs the demonstration. Keeps the results of earlier runs, and continues a training that was
/// stopped.
///
/// # Errors
/// If a step fails. The error contains the line to run it again.
pub fn demo(workspace: &Workspace, options: DemoOptions) -> Result<()> {
    let parent = workspace.target.join("rewind-demo");
    if options.fresh && parent.exists() {
        fs::remove_dir_all(&parent)
            .with_context(|| format!("cannot remove {}", parent.display()))?;
    }
    let folders = folders(&parent, &options)?;
    let steps = &mut Steps::new();

    build(workspace, steps)?;
    let models = copy_models(&workspace.root.join(models::FOLDER), &folders.showcase)?;
    write_manifest(&folders.showcase, &models)?;
    // The page opens now, with the models of real scans, and not only after the training.
    let server = match options.no_serve {
        true => None,
        false => Some(Server::start(workspace, &folders.showcase, &options.listen)?),
    };
    if let Some(unseen) = &folders.unseen {
        steps.run("Make phantoms", || {
            let size = options.size.to_string();
            let make = |folder: &Path, cases: u64, seed: u64| {
                let (cases, seed) = (cases.to_string(), seed.to_string());
                let phantom = workspace.rewind().args(["phantom", "--cases", &cases]);
                let phantom = phantom.args(["--seed", &seed, "--size", &size]);
                make_whole(folder, |out| run(phantom.arg("--out").arg(out)))
            };
            make(&folders.training, TRAINING_CASES, TRAINING_SEED)?;
            make(unseen, UNSEEN_CASES, UNSEEN_SEED)
        })?;
    }
    steps.run("Train", || {
        let steps = options.steps.unwrap_or(STEPS).to_string();
        let mut train = workspace.rewind().args(["train", "--config", "trainer/configs/demo.toml"]);
        train = train.args(["--steps", &steps]);
        if folders.unseen.is_some() {
            train = train.args(["--foreground", "nonzero"]);
        }
        run(train.arg("--data").arg(&folders.training).arg("--out").arg(&folders.run))
            .context("`cargo xtask demo --fresh` removes the results of earlier runs")
    })?;
    let test_cases = folders.unseen.as_ref().unwrap_or(&folders.training);
    let data_set = DataSet::read(test_cases)?;
    steps.run("Segment and score cases that were not trained on", || {
        if folders.predictions.exists() {
            fs::remove_dir_all(&folders.predictions)?;
        }
        let mut predict = workspace.rewind().arg("predict").arg("--model").arg(&folders.run);
        predict = predict.arg("--data").arg(test_cases).arg("--out").arg(&folders.predictions);
        let mut evaluate = workspace.rewind().arg("evaluate").arg(&folders.predictions);
        evaluate = evaluate.arg(data_set.labels_folder()?).arg("--task").arg(&folders.run);
        if folders.unseen.is_none() {
            predict = predict.args(["--split", "held-out"]);
            evaluate = evaluate.args(["--missing", "skip"]);
        }
        run(predict)?;
        run(evaluate)
    })?;
    steps.run("Export the model", || {
        let mut export = workspace.rewind().arg("export").arg("--run").arg(&folders.run);
        export = export.arg("--out").arg(folders.showcase.join("model.safetensors"));
        if folders.unseen.is_some() {
            export = export.args(["--name", NAME, "--warning", WARNING]);
        }
        run(export)?;
        let case = Some(add_case(&data_set, &folders.predictions, &folders.showcase)?);
        let name = if folders.unseen.is_some() { NAME.into() } else { data_set.name() };
        let bundle = "model.safetensors".to_string();
        write_manifest(&folders.showcase, &[models, vec![Shown { name, bundle, case }]].concat())
    })?;
    steps.print_summary();

    match server {
        Some(server) => {
            println!("\nReload http://{}/ to see the trained model too.", options.listen);
            server.wait()
        }
        None => {
            let serve = serve(workspace, &folders.showcase);
            println!("\nto open the page:\n  {}", line(&command(serve)));
            Ok(())
        }
    }
}

/// The page's server, beside the training. It is stopped where the demonstration fails.
struct Server(Child);

impl Server {
    fn start(workspace: &Workspace, showcase: &Path, listen: &str) -> Result<Server> {
        let mut serve = command(serve(workspace, showcase).args(["--listen", listen]));
        println!("\n  $ {}", line(&serve));
        let server = Server(serve.spawn().context("cannot start the server")?);
        println!("Open http://{listen}/ in a browser. Ctrl-C stops everything.");
        Ok(server)
    }

    /// Waits until the server is stopped.
    fn wait(mut self) -> Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "the server failed ({status})");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn folders(parent: &Path, options: &DemoOptions) -> Result<Folders> {
    let (name, data) = match &options.data {
        None => (format!("phantoms-{}", options.size), None),
        Some(data) => {
            let absolute = data.canonicalize();
            let data = absolute.with_context(|| format!("no data set in {}", data.display()))?;
            let name = data.file_name().context("expected a folder with a name, found none")?;
            (name.to_string_lossy().into_owned(), Some(data))
        }
    };
    let folder = parent.join(name);
    Ok(Folders {
        unseen: data.is_none().then(|| folder.join("unseen")),
        training: data.unwrap_or_else(|| folder.join("training")),
        run: folder.join(format!("run-{}", options.steps.unwrap_or(STEPS))),
        predictions: folder.join("predictions"),
        showcase: folder.join("page"),
    })
}

/// Makes a folder under a temporary name and renames it, so that a folder with the final name is
/// complete.
fn make_whole(folder: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if folder.exists() {
        println!("  {} exists already", folder.display());
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
