//! What preprocessing holds in memory, known from a header before a voxel is read.

use super::{MAX_INPUT_BYTES, PreprocessConfig, scaled_dims};
use crate::{Foreground, Grid, UNetConfig};

/// The most bytes held while a case of this grid is read and preprocessed, and its labels placed:
/// an upper bound, since what a crop will leave is not known from a header. Inputs above
/// [`MAX_INPUT_BYTES`], which are refused before they are made, count as that.
pub fn working_bytes(
    grid: &Grid,
    channels: usize,
    config: &PreprocessConfig,
    network: &UNetConfig,
) -> u64 {
    let orientation = grid.orientation();
    let spacing_mm = orientation.axes.map(|axis| grid.world_from_voxel.spacing_mm()[axis]);
    let source = orientation.canonical_dims(grid.dims);
    let scaled = scaled_dims(source, spacing_mm, config.spacing_mm);
    let channels = channels as u64;
    let most = MAX_INPUT_BYTES / (4 * channels.max(1));
    let wanted = config.size.unwrap_or(scaled);
    let input = match voxels(wanted) > most {
        true => most,
        false => voxels(network.padded(wanted)).min(most),
    };
    // Scan and canonical copy of each channel, one channel's crop, mask, labels and their crop;
    // for Otsu's threshold the channels' mean in f64.
    let otsu = if config.foreground == Foreground::Otsu { 8 } else { 0 };
    let on_source = (8 * channels + 7 + otsu).saturating_mul(voxels(source));
    let resampling = match (config.spacing_mm, voxels(scaled) > most) {
        (None, _) => 0,
        (_, false) => resampling_bytes(source, scaled),
        (_, true) => resampling_bytes(source, scaled).min(2 * MAX_INPUT_BYTES),
    };
    // The input, and labels on its grid, cropped and padded.
    on_source.saturating_add(resampling).saturating_add((4 * channels + 2).saturating_mul(input))
}

/// Each of one channel's steps along i, j and k in turn is made while the one before is there.
fn resampling_bytes([_, sj, sk]: [usize; 3], [ti, tj, tk]: [usize; 3]) -> u64 {
    let [a, b, c] = [[ti, sj, sk], [ti, tj, sk], [ti, tj, tk]].map(voxels);
    a.saturating_add(b).max(b.saturating_add(c)).saturating_mul(4)
}

fn voxels(dims: [usize; 3]) -> u64 {
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
        let config = PreprocessConfig { spacing_mm, ..PreprocessConfig::default() };
        working_bytes(&grid, 1, &config, &network)
    }

    #[test]
    fn the_steps_of_resampling_count_though_they_are_larger_than_its_result() {
        // Refined along i before it is made coarse along j and k: 144 × 512 × 512, 144 × 256 × 512.
        let steps = 4 * 144 * (512 * 512 + 256 * 512);
        let source = 15 * 24 * 512 * 512;
        let input = 6 * 144 * 256 * 256;
        assert_eq!(bytes(Some([1.0; 3])), source + steps + input);
    }

    #[test]
    fn absurd_spacings_count_as_the_largest_input() {
        let huge = bytes(Some([1e-300; 3]));
        assert!((MAX_INPUT_BYTES..5 * MAX_INPUT_BYTES).contains(&huge), "{huge}");
    }
}
