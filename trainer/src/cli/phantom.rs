//! `rewind phantom`: options and output.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use trainer_data::phantom;
use trainer_run::DISCLAIMER;
use trainer_run::reporter::Terminal;

/// Write a data set of synthetic cases: heads with a tumor in four modalities.
///
/// Each case is a function of its seed, so other seeds give unseen cases.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PhantomArgs {
    /// A new folder for the data set.
    #[arg(long)]
    out: PathBuf,
    /// Number of cases.
    #[arg(long, default_value_t = 16)]
    cases: usize,
    /// The seed of the first case; each further case has the next seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Voxels along each axis.
    #[arg(long, default_value_t = 64)]
    size: usize,
}

const EXAMPLES: &str = "\
Examples:
  rewind phantom --out phantoms --cases 24
  rewind phantom --out unseen --cases 4 --seed 1000

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: PhantomArgs) -> Result<()> {
    phantom::write(&args.out, args.cases, args.seed, args.size, &Terminal::default())?;
    let out = args.out.display();
    println!(
        "wrote {} cases of {}³ voxels to {out}\n\
         next: rewind train --data {out} --preset demo --foreground nonzero --out run\n{DISCLAIMER}",
        args.cases, args.size
    );
    Ok(())
}
