//! `rewind report`: its options.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use trainer_run::DISCLAIMER;

/// Write the report of a run again.
///
/// Training writes report.html into the run's folder when it ends. This command makes it again
/// from the folder's files, also of a run that goes on or was stopped: one HTML file with curves,
/// box plots, every case's scores, pictures of the worst cases, settings, data and versions. It
/// loads nothing, so it can be sent and kept.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReportArgs {
    /// The run's folder.
    run: PathBuf,
    /// The file to write; report.html in the run's folder unless given.
    #[arg(long)]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  rewind report runs/first
  rewind report runs/first --out first.html

Curves while a run goes on, beside those of other runs:
  tensorboard --logdir runs

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: ReportArgs) -> Result<()> {
    let file = trainer_report::write(&args.run, args.out.as_deref())?;
    println!("{}\n{DISCLAIMER}", file.display());
    Ok(())
}
