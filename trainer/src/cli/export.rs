//! `rewind export`: its options.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use trainer_export::bundle::{self, Storage};
use trainer_export::onnx::{Norms, OnnxOptions};
use trainer_run::DISCLAIMER;
use trainer_run::files::outputs::{self, Output};

/// Export a run's best weights as a bundle, for the viewer and for other software, or as ONNX.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
    /// The run's folder, or a bundle.
    #[arg(long, visible_alias = "model")]
    run: PathBuf,
    /// The bundle to write, *.safetensors.
    #[arg(long, required_unless_present = "onnx")]
    out: Option<PathBuf>,
    /// The ONNX file to write, *.onnx (opset 21): from the preprocessed `image` to `logits`, of any
    /// size that the network takes. How an image is made and logits are read is in its properties.
    #[arg(long)]
    onnx: Option<PathBuf>,
    /// How group norms are written in the ONNX file.
    #[arg(long, value_enum, default_value = "means", requires = "onnx")]
    onnx_norms: Norms,
    /// Writes a random image and its logits to this folder too, as an ONNX test data set: what a
    /// runtime that is new to the file should give.
    #[arg(long, requires = "onnx")]
    onnx_sample: Option<PathBuf>,
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
  rewind export --model model.safetensors --onnx model.onnx

Research use only, not a medical device";

/// Runs the command.
pub(super) fn run(args: ExportArgs) -> Result<()> {
    let (name, warning) = (args.name.as_deref(), args.warning.as_deref());
    let storage = if args.f16 { Storage::F16 } else { Storage::F32 };
    for (option, kind, file) in [
        ("--out", Output::Bundle, &args.out),
        ("--onnx", Output::Onnx, &args.onnx),
        ("--card", Output::Card, &args.card),
    ] {
        if let Some(file) = file {
            bundle::prepare(option, kind, file, &args.run)?;
        }
    }
    let bundle = bundle::bundle(&args.run, name, warning, storage)?;
    if let Some(file) = &args.out {
        bundle::write(&bundle, file, storage)?;
    }
    if let Some(file) = &args.onnx {
        bundle::write_onnx(&bundle, file, OnnxOptions { storage, norms: args.onnx_norms })?;
    }
    if let Some(folder) = &args.onnx_sample {
        bundle::write_onnx_sample(&bundle, folder)?;
    }
    if let Some(file) = &args.card {
        outputs::write(Output::Card, file, bundle::card(&bundle, storage).as_bytes())?;
    }
    if args.f16 {
        println!("in half precision; the Dice below is that of the weights before rounding");
    }
    for out in args.out.iter().chain(&args.onnx).chain(&args.onnx_sample).chain(&args.card) {
        println!("wrote {}", out.display());
    }
    println!("{}\n{DISCLAIMER}", bundle::describe(&bundle));
    Ok(())
}
