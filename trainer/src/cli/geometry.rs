//! The option for the geometric tolerance between the files of a case.

use clap::Args;
use model_core::DEFAULT_TOLERANCE_VOXELS;

/// The option `--geometry-tolerance`.
#[derive(Args)]
pub(super) struct GeometryArgs {
    /// The largest distance between corresponding voxels of a case's files, in voxels. Above 0.01
    /// there is a warning. Files may differ in axis order.
    #[arg(long, value_name = "VOXELS", default_value_t = DEFAULT_TOLERANCE_VOXELS, value_parser = tolerance)]
    pub geometry_tolerance: f64,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(voxels) if (0.0..=1000.0).contains(&voxels) => Ok(voxels),
        _ => Err("expected a number of voxels from 0 to 1000".to_string()),
    }
}
