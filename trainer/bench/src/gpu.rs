//! `rewind-bench gpu`: everything that a GPU is to be measured by, in stages that can be cut short.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use trainer_run::files::outputs::{self, Output};
use trainer_run::{DISCLAIMER, files, progress};
use trainer_train::device;

mod child;
mod items;
mod record;
mod state;

use items::{Item, items};
use record::{Outcome, Record};

/// Measure a GPU in stages: correctness, kernels, steps, and two real trainings.
///
/// A stage is a list of items, each one of this program's own commands in a process of its own, so
/// that one that fails takes nothing with it. After --minutes the stage stops, and the same command
/// goes on where it was, also on another machine that has the folder --out: a training's run
/// folder lies packed in it. Everything that a stage needs is this program and, for a training, its
/// data set.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct GpuArgs {
    /// What is measured.
    #[arg(long, value_enum)]
    stage: Stage,
    /// Where results go: STAGE.md to read, STAGE.json for programs, and for a training its model
    /// and, until it is done, its state.
    #[arg(long)]
    out: PathBuf,
    /// The data set of a training: the Decathlon's hippocampus, or lgg64.
    #[arg(long)]
    data: Option<PathBuf>,
    /// cuda, cuda:N, wgpu, wgpu:N, or cpu to rehearse.
    #[arg(long, default_value = "cuda")]
    device: String,
    /// Items end by then; one that was cut short goes on, or begins anew, with the next call.
    #[arg(long, default_value_t = 7.5)]
    minutes: f64,
    /// Sizes that a software adapter or a CPU takes: to see that everything runs.
    #[arg(long)]
    rehearse: bool,
}

/// How a stage says that there is more to do: "try again" of sysexits, which no interruption is.
const MORE: i32 = 75;

const EXAMPLES: &str = "\
Examples:
  rewind-bench gpu --stage kernels --out results
  rewind-bench gpu --stage hippocampus --data Task04_Hippocampus --out results
  rewind-bench gpu --stage correctness --device wgpu --rehearse --out rehearsal

Ends with status 75 while there is more to do: give the same command again.

Research use only, not a medical device";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Kernels and networks beside the CPU's.
    Correctness,
    /// Each kernel's time, beside a copy's, and others'.
    Kernels,
    /// Steps of whole networks: time and memory.
    Step,
    /// Five folds of the hippocampus data set.
    Hippocampus,
    /// Lower-grade glioma in f32, bf16 and f16, three seeds each.
    Lgg64,
}

impl Stage {
    /// Its name, and that of its files.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Correctness => "correctness",
            Stage::Kernels => "kernels",
            Stage::Step => "step",
            Stage::Hippocampus => "hippocampus",
            Stage::Lgg64 => "lgg64",
        }
    }

    /// Whether it trains.
    pub fn trains(self) -> bool {
        matches!(self, Stage::Hippocampus | Stage::Lgg64)
    }
}

/// Runs the command.
///
/// # Errors
/// For a missing data set or device, a folder that cannot be written to, or results in it that are
/// of another stage. What an item finds wrong is a result.
pub fn run(args: &GpuArgs) -> Result<()> {
    let deadline = Instant::now()
        + Duration::try_from_secs_f64(60.0 * args.minutes)
            .map_err(|_| anyhow::anyhow!("--minutes: expected a time, found {}", args.minutes))?;
    let name = args.stage.name();
    ensure!(
        !args.stage.trains() || args.data.is_some(),
        "--stage {name} trains: expected its data set as --data"
    );
    // Before hours of work: a device that is not there is no result.
    let device = device::describe(&device::device(Some(&args.device))?);
    std::fs::create_dir_all(&args.out)?;
    let mut record = Record::open(&args.out, name, &device, args.rehearse)?;
    record.save(&args.out)?;
    let items = items(args.stage, &args.device, args.data.as_deref(), args.rehearse);
    let bar = progress::bar(name, items.len() as u64);
    for item in &items {
        if record.has(&item.name) {
            bar.inc(1);
            continue;
        }
        bar.set_message(item.name.clone());
        progress::line(&bar, format!("{name}: {}", item.name));
        let Some(outcome) = run_item(item, args, deadline)? else { break };
        record.push(outcome);
        record.save(&args.out)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let done = items.iter().filter(|item| record.has(&item.name)).count();
    let table = record.file(&args.out, "md");
    println!("{done} of {} items of the stage {name}: {}", items.len(), table.display());
    println!("{DISCLAIMER}");
    if done < items.len() {
        println!("to go on, give the same command again");
        std::process::exit(MORE);
    }
    Ok(())
}

/// What an item gives; none where it was cut short and goes on later.
fn run_item(item: &Item, args: &GpuArgs, deadline: Instant) -> Result<Option<Outcome>> {
    let started = Instant::now();
    let left = deadline.saturating_duration_since(started);
    if left < Duration::from_secs(5) {
        return Ok(None);
    }
    let had_all = left.as_secs_f64() > 0.9 * 60.0 * args.minutes;
    let packed = args.out.join(format!("{}.state.tar.gz", args.stage.name()));
    let mut arguments = item.args.clone();
    let folder = match item.settings {
        Some(settings) => {
            let folder = state::unpack(&packed, &item.name)?;
            let (config, run) = (folder.path().join("train.toml"), folder.path().join("run"));
            files::write(&config, settings.as_bytes())?;
            let options = [("--config", config), ("--out", run)];
            arguments.extend(
                options
                    .iter()
                    .flat_map(|(name, path)| [name.to_string(), path.display().to_string()]),
            );
            Some(folder)
        }
        None => None,
    };
    let reached = || folder.as_ref().and_then(|folder| state::reached(folder.path()));
    let before = reached();
    let found = child::run(&arguments, left)?;
    if found.is_none() && had_all && before.is_some() && reached() == before {
        // It would begin every call at the same place and never end.
        let why = "came no further in a whole call: give it more --minutes, with another --out";
        return Ok(Some(Outcome::failed(item, started, why.into())));
    }
    let Some(folder) = folder else {
        return Ok(match found {
            // Not enough time in a whole call is a result.
            None if had_all => Some(Outcome::failed(item, started, "did not end in time".into())),
            None => None,
            Some(found) => Some(Outcome::new(item, started, found)),
        });
    };
    let run = folder.path().join("run");
    let Some(found) = found else {
        state::pack(folder.path(), &packed, &item.name)?;
        return Ok(None);
    };
    let mut outcome = Outcome::new(item, started, found);
    if let Ok(bundle) = trainer_run::run_folder::read_bundle(&run) {
        outcome.scores = bundle.card.provenance.held_out.clone();
        if item.keeps_model {
            let file = args.out.join(format!("{}.safetensors", args.stage.name()));
            outputs::write(Output::Bundle, &file, &bundle.rounded_to_f16().to_f16_bytes()?)?;
        }
    }
    if packed.exists() {
        std::fs::remove_file(&packed)?;
    }
    Ok(Some(outcome))
}
