//! `rewind export`: options and output.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::folds;
use trainer_export::bundle::{self, Storage};
use trainer_export::onnx::{Norms, OnnxOptions};
use trainer_run::DISCLAIMER;
use trainer_run::files::outputs::{self, Output};

/// Export a model as a bundle for the viewer and other software, or as ONNX.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
    /// A run folder, whose best weights are exported, or a bundle.
    #[arg(long, visible_alias = "model")]
    run: PathBuf,
    /// The bundle to write, *.safetensors.
    #[arg(long, required_unless_present = "onnx")]
    out: Option<PathBuf>,
    /// The ONNX file to write, *.onnx (opset 21). It maps the preprocessed `image` to `logits`, for
    /// any size that the network takes. Its properties describe preprocessing and outputs.
    #[arg(long)]
    onnx: Option<PathBuf>,
    /// The form of group norms in the ONNX file.
    #[arg(long, value_enum, default_value = "means", requires = "onnx")]
    onnx_norms: Norms,
    /// Also write a random image and its logits to this folder, as an ONNX test data set to check a
    /// runtime with.
    #[arg(long, requires = "onnx")]
    onnx_sample: Option<PathBuf>,
    /// The model's name in the viewer; by default the data set's name.
    #[arg(long)]
    name: Option<String>,
    /// A warning about the model's limits, shown in the viewer.
    #[arg(long)]
    warning: Option<String>,
    /// The data that the model was trained on, by name; by default the data set's name.
    #[arg(long)]
    data_name: Option<String>,
    /// The terms of these data; by default what the data set states.
    #[arg(long)]
    license: Option<String>,
    /// What the model is known to do wrong, a sentence for the model card; can be given more than
    /// once.
    #[arg(long)]
    known_failure: Vec<String>,
    /// The folder of a cross-validation with the same settings (`rewind train --folds`): its scores
    /// and calibration become those of a model that was trained on all cases.
    #[arg(long)]
    cross_validation: Option<PathBuf>,
    /// With --cross-validation, score only cases whose reference has at least this volume of the
    /// region, in ml.
    #[arg(long, default_value_t = 0.0, requires = "cross_validation")]
    least_ml: f64,
    /// Store the weights in half precision: half the size, with a relative error of up to 0.0005
    /// per weight. The SHA-256 is that of the rounded weights. Networks compute in f32.
    #[arg(long)]
    f16: bool,
    /// Also write the model card to this file, as Markdown.
    #[arg(long)]
    card: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  rewind export --run run --out model.safetensors --name \"Hippocampus\" \\
    --warning \"Trained on 160 scans of one center\"
  rewind export --run all-cases --cross-validation five-folds --out model.safetensors --f16
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
    let mut bundle = bundle::bundle(&args.run, name, warning, storage)?;
    let provenance = &mut bundle.card.provenance;
    for (text, given) in
        [(&mut provenance.data, args.data_name), (&mut provenance.license, args.license)]
    {
        if let Some(given) = given {
            *text = given;
        }
    }
    bundle.card.known_failures.extend(args.known_failure);
    if let Some(folder) = &args.cross_validation {
        folds::describe(&mut bundle.card, folder, args.least_ml)?;
    }
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
        println!("weights in half precision; the Dice below was measured before rounding");
    }
    for out in args.out.iter().chain(&args.onnx).chain(&args.onnx_sample).chain(&args.card) {
        println!("wrote {}", out.display());
    }
    println!("{}\n{DISCLAIMER}", bundle::describe(&bundle));
    Ok(())
}
