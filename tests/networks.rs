//! The published networks, narrow enough to run in a moment.

use model_core::UNetConfig;

/// A preset's network with all its levels and layers at a fraction of its widths: two groups in
/// every norm, or as many as there are channels; four channels in, three out.
///
/// # Panics
/// For an unknown preset.
pub fn shrunk(preset: &str) -> UNetConfig {
    let config = UNetConfig::preset(preset, 4, 3).expect("a preset's name");
    let (numerator, denominator) = match config.groups {
        0 => (1, config.widths[0] / 4),
        groups => (2, groups),
    };
    let widths = config.widths.iter().map(|width| width * numerator / denominator).collect();
    UNetConfig { widths, groups: config.groups.min(2), reflections: 2, ..config }
}
