//! `rewind export`: its options.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::export::{self, Storage};
use crate::{DISCLAIMER, files};

/// Export a run's best weights as a bundle, for the viewer and for other software.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
    /// The run's folder.
    #[arg(long)]
    run: PathBuf,
    /// The file to write, *.safetensors.
    #[arg(long)]
    out: PathBuf,
    /// The model's name, as the viewer shows it; by default the data set's.
    #[arg(long)]
    name: Option<String>,
    /// A sentence that the user must read before trusting a result.
    #[arg(long)]
    warning: Option<String>,
    /// Stores the weights in half precision: half the size, at a relative error of 0.0005 of each
    /// weight. They are used, and their SHA-256 taken, as rounded; networks compute in f32.
    #[arg(long)]
    f16: bool,
    /// Writes the model's card to this file too, as Markdown.
    #[arg(long)]
    card: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Example:
  rewind export --run run --out model.safetensors --name \"Hippocampus\" \\
    --warning \"Trained on 160 scans of one center\"

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: ExportArgs) -> Result<()> {
    let (name, warning) = (args.name.as_deref(), args.warning.as_deref());
    let storage = if args.f16 { Storage::F16 } else { Storage::F32 };
    let bundle = export::export(&args.run, &args.out, name, warning, storage)?;
    if args.f16 {
        println!("in half precision; the Dice below is that of the weights before rounding");
    }
    if let Some(file) = &args.card {
        files::write(file, export::card(&bundle, storage).as_bytes())?;
    }
    println!("wrote {}\n{}\n{DISCLAIMER}", args.out.display(), export::describe(&bundle));
    Ok(())
}
