//! Parses the command line, runs the command and prints its result.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use trainer_run::{pipes, progress};
use trainer_train::estimate;

mod completions;
mod evaluate;
mod export;
mod geometry;
mod inspect;
mod phantom;
mod predict;
mod prepare;
mod profile;
mod report;
mod train;

/// Train reversible 3D U-Nets and segment volumetric scans.
///
/// Research use only, not a medical device.
#[derive(Parser)]
#[command(name = "rewind", version, after_help = ALL_EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ALL_EXAMPLES: &str = "\
Example: train, export and evaluate a model on synthetic cases
  rewind phantom --out phantoms --cases 24 --size 64
  rewind train --data phantoms --preset demo --foreground nonzero --out run
  rewind export --run run --out model.safetensors --name \"Demonstration model\"
  rewind phantom --out unseen --cases 4 --seed 1000
  rewind predict --model model.safetensors --data unseen --out predictions
  rewind evaluate predictions unseen/labelsTr

Research use only, not a medical device";

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // Only one value exists.
enum Command {
    Inspect(inspect::InspectArgs),
    Prepare(prepare::PrepareArgs),
    Train(train::TrainArgs),
    Predict(predict::PredictArgs),
    Profile(profile::ProfileArgs),
    Evaluate(evaluate::EvaluateArgs),
    Report(report::ReportArgs),
    Export(export::ExportArgs),
    Phantom(phantom::PhantomArgs),
    Plan(estimate::PlanArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs a command line. Its first word is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    pipes::end_with_reader();
    let result = match Cli::parse_from(args).command {
        Command::Inspect(args) => inspect::run(args),
        Command::Prepare(args) => prepare::run(args),
        Command::Train(args) => train::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Profile(args) => profile::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Report(args) => report::run(args),
        Command::Export(args) => export::run(args),
        Command::Phantom(args) => phantom::run(args),
        Command::Plan(args) => estimate::report(args).map(|text| println!("{text}")),
        Command::Completions(args) => completions::run(args, Cli::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::DISCLAIMER;

    #[test]
    fn every_help_page_has_an_example_and_the_disclaimer() {
        let mut cli = Cli::command();
        cli.build();
        for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains(DISCLAIMER) && help.contains("xample"), "{help}");
        }
    }
}
