//! What preprocessing holds in memory, known from a header before a voxel is read.

use super::{PreprocessConfig, scaled_dims};
use crate::{Foreground, Grid, UNetConfig};

/// The most bytes held while a case of this grid is read and preprocessed, and its labels placed:
/// an upper bound, since what a crop will leave is not known from a header.
pub fn working_bytes(
    grid: &Grid,
    channels: usize,
    config: &PreprocessConfig,
    network: &UNetConfig,
) -> u64 {
    let voxels = |dims: [usize; 3]| dims.iter().fold(1u64, |n, &d| n.saturating_mul(d as u64));
    let orientation = grid.orientation();
    let spacing_mm = orientation.axes.map(|axis| grid.world_from_voxel.spacing_mm()[axis]);
    let scaled = scaled_dims(orientation.canonical_dims(grid.dims), spacing_mm, config.spacing_mm);
    let input = voxels(network.padded(config.size.unwrap_or(scaled)));
    let channels = channels as u64;
    // Scan and canonical copy of each channel, one channel's crop, mask, labels and their crop;
    // for Otsu's threshold the channels' mean in f64.
    let otsu = if config.foreground == Foreground::Otsu { 8 } else { 0 };
    let on_source = (8 * channels + 7 + otsu).saturating_mul(voxels(grid.dims));
    // One channel at the steps of resampling.
    let resampling = if config.spacing_mm.is_some() { 12 * voxels(scaled) } else { 0 };
    // The input, and labels on its grid, cropped and padded.
    on_source.saturating_add(resampling).saturating_add((4 * channels + 2).saturating_mul(input))
}
