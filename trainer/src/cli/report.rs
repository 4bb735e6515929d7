//! `rewind report`: options and output.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use trainer_run::DISCLAIMER;

/// Write the report of a run.
///
/// Training writes report.html to the run folder when it ends. This command writes the report
/// again, also during a training or after an interruption: one HTML file with curves, box plots,
/// the scores of every case, pictures of the worst cases, settings, data and versions. The file
/// needs no other files and no network.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReportArgs {
    /// The run folder.
    run: PathBuf,
    /// The file to write; by default report.html in the run folder.
    #[arg(long)]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  rewind report runs/first
  rewind report runs/first --out first.html

Curves of running and finished trainings:
  tensorboard --logdir runs

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: ReportArgs) -> Result<()> {
    let file = trainer_report::write(&args.run, args.out.as_deref())?;
    println!("{}\n{DISCLAIMER}", file.display());
    Ok(())
}
