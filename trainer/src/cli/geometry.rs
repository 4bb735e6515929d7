//! The option that says how far apart the files of one case may lie.

use clap::Args;
use model_core::DEFAULT_TOLERANCE_VOXELS;

/// How far apart files may lie.
#[derive(Args)]
pub(super) struct GeometryArgs {
    /// How far the files of one case may lie apart, in voxels; above 0.01 with a warning. The same
    /// voxels stored in another axis order are the same.
    #[arg(long, value_name = "VOXELS", default_value_t = DEFAULT_TOLERANCE_VOXELS, value_parser = tolerance)]
    pub geometry_tolerance: f64,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(voxels) if (0.0..=1000.0).contains(&voxels) => Ok(voxels),
        _ => Err("expected a number of voxels from 0 to 1000".to_string()),
    }
}
