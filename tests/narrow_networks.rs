//! The published networks, narrow enough to run in a moment.

use model_core::UNetConfig;

/// Returns a preset's network with all its levels and layers, but narrower: with two groups in
/// every norm, or with one group per channel where the preset has that. It has four input channels
/// and three output channels.
///
/// # Panics
/// If the preset is unknown.
pub fn narrow_network(preset: &str) -> UNetConfig {
    let config = UNetConfig::preset(preset, 4, 3).expect("a preset's name");
    let (numerator, denominator) = match config.groups {
        None => (1, config.widths[0] / 4),
        Some(groups) => (2, groups),
    };
    let widths = config.widths.iter().map(|width| width * numerator / denominator).collect();
    let narrow = config.with(|narrow| {
        narrow.widths = widths;
        narrow.groups = narrow.groups.map(|groups| groups.min(2));
        narrow.reflections = 2;
    });
    narrow.expect("a network that can be built")
}
