//! `rewind phantom`: options and output.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use trainer_data::heads::{self, HeadSettings};
use trainer_data::phantom;
use trainer_run::DISCLAIMER;
use trainer_run::reporter::Terminal;

/// Write a data set of synthetic cases: heads with a tumor in four modalities, or whole heads around
/// real brains.
///
/// Each case is a function of its seed, so other seeds give unseen cases.
///
/// With --heads-around, a skull, a scalp, a face and a neck are drawn around each brain of a data set of
/// skull-stripped scans, in random contrasts and resolutions. The only label is the brain. A network
/// for brain extraction is trained on them.
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
    #[arg(long, default_value_t = 64, conflicts_with = "heads_around")]
    size: usize,
    #[command(flatten)]
    heads: HeadArgs,
}

/// The options for whole heads.
#[derive(Args)]
#[command(next_help_heading = "Whole heads around real brains")]
struct HeadArgs {
    /// A data set of skull-stripped scans, in any layout that `rewind inspect` reads.
    #[arg(long, value_name = "DATA")]
    heads_around: Option<PathBuf>,
    /// The meaning of its labels, if the data set does not state it.
    #[arg(long, requires = "heads_around")]
    task: Option<String>,
    /// The cases to build heads around; by default all.
    #[arg(long, value_name = "CASES", value_delimiter = ',', requires = "heads_around")]
    only: Vec<String>,
    /// Cases to leave out, such as those to test on.
    #[arg(long, value_name = "CASES", value_delimiter = ',', requires = "heads_around")]
    without: Vec<String>,
    /// Write each head in the box of 96 × 108 × 96 voxels in which brain extraction sees a scan, as its
    /// network is trained on.
    #[arg(long, requires = "heads_around")]
    boxed: bool,
    /// The license of the brains, if the data set does not state it. It is stated in the card of a
    /// network trained on the heads.
    #[arg(long, value_name = "TEXT", requires = "heads_around")]
    license: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  rewind phantom --out phantoms --cases 24
  rewind phantom --out unseen --cases 4 --seed 1000
  rewind phantom --heads-around BraTS2021 --task brats2021 --cases 800 --boxed --out heads

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: PhantomArgs) -> Result<()> {
    if let Some(brains) = args.heads.heads_around.clone() {
        return write_heads(args, brains);
    }
    phantom::write(&args.out, args.cases, args.seed, args.size, &Terminal::default())?;
    let out = args.out.display();
    println!(
        "wrote {} cases of {}³ voxels to {out}\n\
         next: rewind train --data {out} --preset demo --foreground nonzero --out run\n{DISCLAIMER}",
        args.cases, args.size
    );
    Ok(())
}

/// Writes whole heads around the brains of a data set.
fn write_heads(args: PhantomArgs, brains: PathBuf) -> Result<()> {
    ensure!(args.cases >= 1, "--cases: expected at least 1, found 0");
    let HeadArgs { task, only, without, boxed, license, .. } = args.heads;
    let (heads, seed) = (args.cases, args.seed);
    let settings = HeadSettings { brains, task, only, without, heads, seed, boxed, license };
    let num_brains = heads::write(&args.out, &settings, &Terminal::default())?;
    let out = args.out.display();
    println!("wrote {} heads around {num_brains} brains to {out}\n{DISCLAIMER}", args.cases);
    Ok(())
}
