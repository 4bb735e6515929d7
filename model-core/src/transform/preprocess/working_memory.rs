//! Estimates preprocessing's memory from a scan's header, before a voxel is read.

use super::{MAX_INPUT_BYTES, scaled_dims};
use crate::transform::config::{Foreground, PreprocessConfig, TargetSize, TargetSpacing};
use crate::{Grid, UNetConfig};

/// Returns an upper bound of the bytes held while a case of this grid is read and preprocessed and
/// its labels are placed. The size after cropping is not known from a header. Inputs above
/// [`MAX_INPUT_BYTES`], which preprocessing refuses, count as that size.
pub fn working_bytes(
    grid: &Grid,
    channels: usize,
    config: &PreprocessConfig,
    network: &UNetConfig,
) -> u64 {
    let orientation = grid.orientation();
    let spacing_mm = orientation.axes.map(|axis| grid.world_from_voxel.spacing_mm()[axis]);
    let source = orientation.canonical_dims(grid.dims);
    let scaled = scaled_dims(source, spacing_mm, config.spacing_mm.map(TargetSpacing::mm));
    let channels = channels as u64;
    let max_voxels = MAX_INPUT_BYTES / (4 * channels.max(1));
    let requested = config.size.map_or(scaled, TargetSize::voxels);
    let input = match num_voxels(requested) > max_voxels {
        true => max_voxels,
        false => num_voxels(network.padded(requested)).min(max_voxels),
    };
    // The scan and the canonical copy of each channel, one channel's crop, the mask, the labels and
    // their crop; for Otsu's threshold also the channels' mean in f64.
    let otsu = if config.foreground == Foreground::Otsu { 8 } else { 0 };
    let on_source = (8 * channels + 7 + otsu).saturating_mul(num_voxels(source));
    let resampling = match (config.spacing_mm, num_voxels(scaled) > max_voxels) {
        (None, _) => 0,
        (_, false) => resampling_bytes(source, scaled),
        (_, true) => resampling_bytes(source, scaled).min(2 * MAX_INPUT_BYTES),
    };
    // The input, and the cropped and the padded labels on its grid.
    on_source.saturating_add(resampling).saturating_add((4 * channels + 2).saturating_mul(input))
}

/// Returns the bytes of resampling one channel along i, j and k in turn. Each step's input is held
/// during the step.
fn resampling_bytes([_, sj, sk]: [usize; 3], [ti, tj, tk]: [usize; 3]) -> u64 {
    let [a, b, c] = [[ti, sj, sk], [ti, tj, sk], [ti, tj, tk]].map(num_voxels);
    a.saturating_add(b).max(b.saturating_add(c)).saturating_mul(4)
}

fn num_voxels(dims: [usize; 3]) -> u64 {
    dims.iter().fold(1, |n, &d| n.saturating_mul(d as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affine;

    fn bytes(spacing_mm: Option<[f64; 3]>) -> u64 {
        // A sagittal scan of 6 × 0.5 × 0.5 mm.
        let grid = Grid::new([24, 512, 512], Affine::from_spacing([6.0, 0.5, 0.5]));
        let network = UNetConfig::preset("demo", 1, 2).unwrap();
        let spacing_mm = spacing_mm.map(|mm| mm.try_into().unwrap());
        let config = PreprocessConfig { spacing_mm, ..PreprocessConfig::default() };
        working_bytes(&grid, 1, &config, &network)
    }

    #[test]
    fn intermediate_steps_of_resampling_count() {
        // Finer along i, then coarser along j and k: 144 × 512 × 512, 144 × 256 × 512.
        let steps = 4 * 144 * (512 * 512 + 256 * 512);
        let source = 15 * 24 * 512 * 512;
        let input = 6 * 144 * 256 * 256;
        assert_eq!(bytes(Some([1.0; 3])), source + steps + input);
    }

    #[test]
    fn the_finest_spacing_counts_as_the_largest_input() {
        let huge = bytes(Some([0.05; 3]));
        assert!((MAX_INPUT_BYTES..5 * MAX_INPUT_BYTES).contains(&huge), "{huge}");
    }
}
