//! First shared step of training and viewing: makes the network's input from a case's channels.

use crate::task::check_channels;
use crate::transform::config::{Foreground, PreprocessConfig};
use crate::transform::intensity::{foreground_mask, normalize};
use crate::{
    DEFAULT_TOLERANCE_VOXELS, Error, Placement, Result, UNetConfig, Volume, geometry::resample,
};

mod working_memory;

pub use working_memory::working_bytes;

/// A network's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The number of channels, which are in the task's order.
    pub channels: usize,
    /// The voxels along right, front, top: i, j, k of the tensor.
    pub dims: [usize; 3],
    /// Intensities, `[channel][k][j][i]`.
    pub values: Vec<f32>,
}

/// The largest accepted input, which a 32-bit browser can hold.
pub const MAX_INPUT_BYTES: u64 = 2 << 30;

/// Returns a network's input and its placement on the source, which is the first channel's grid.
///
/// The steps are canonical order (RAS+), z-scores over the foreground, crop, resampling, and padding
/// with zeros to a size that the network accepts. The other channels may be stored in another axis
/// order.
///
/// If the input's size is given, the crop is narrowed around its center until it fits. The
/// statistics are still those of the whole foreground.
///
/// Statistics are taken in canonical order in f64, one voxel after the other. They are the same for a
/// scan in every axis order and on every machine.
///
/// # Errors
/// [`Error::Scan`] if the channels do not fit the network, or if there is no foreground;
/// [`Error::Geometry`]; [`Error::TooLarge`].
pub fn preprocess(
    channels: &[Volume],
    config: &PreprocessConfig,
    network: &UNetConfig,
) -> Result<(Input, Placement)> {
    config.check()?;
    check_channels(channels)?;
    if channels.len() != network.in_channels() {
        let expected = format!("{} channels", network.in_channels());
        return Err(Error::scan(expected, channels.len()));
    }
    let source = channels[0].grid();
    let orientation = source.orientation();
    let canonical = |volume: &Volume| {
        let alignment = source.align(volume.grid(), DEFAULT_TOLERANCE_VOXELS)?;
        Ok(match alignment.is_same_order() {
            true => orientation.to_canonical(source.dims, volume.values()),
            false => {
                let voxels = alignment.reorder(volume.values().to_vec());
                orientation.to_canonical(source.dims, &voxels)
            }
        })
    };
    let canonical = channels.iter().map(canonical).collect::<Result<Vec<Vec<f32>>>>()?;
    let mask = foreground_mask(&canonical, config.foreground);
    let whole = orientation.canonical_dims(source.dims);
    let (start, crop_dims) = match bounding_box(&mask, whole) {
        None => return Err(Error::scan("some foreground", "an empty scan")),
        Some(bounding_box) if config.crop => bounding_box,
        Some(_) => ([0; 3], whole),
    };
    let spacing_mm = orientation.axes.map(|axis| source.world_from_voxel.spacing_mm()[axis]);
    let (start, crop_dims) = narrow(start, crop_dims, spacing_mm, config);
    let scaled_dims = scaled_dims(crop_dims, spacing_mm, config.spacing_mm);
    let dims = check_input_size(channels.len(), config.size.unwrap_or(scaled_dims), network)?;
    let placement = Placement::new(source.clone(), start, crop_dims, scaled_dims, dims)?;

    let num_voxels: usize = dims.iter().product();
    let mut values = vec![0.0; channels.len() * num_voxels];
    for (mut voxels, out) in canonical.into_iter().zip(values.chunks_exact_mut(num_voxels)) {
        let zero_outside = config.foreground == Foreground::Nonzero;
        normalize(&mut voxels, &mask, zero_outside);
        let cropped = crop(&voxels, whole, start, crop_dims);
        drop(voxels);
        match placement.is_resampled() {
            true => placement.pad(&resample::image(&cropped, crop_dims, scaled_dims), out),
            false => placement.pad(&cropped, out),
        }
    }
    Ok((Input { channels: channels.len(), dims, values }, placement))
}

/// Returns the network's input size for a crop. Errors, before any allocation, if it is too large.
fn check_input_size(
    channels: usize,
    scaled_dims: [usize; 3],
    network: &UNetConfig,
) -> Result<[usize; 3]> {
    let bytes = |dims: [usize; 3]| {
        dims.iter().fold(channels as u64 * 4, |bytes, &n| bytes.saturating_mul(n as u64))
    };
    let too_large = |found_bytes| Error::TooLarge {
        what: "the network's input",
        limit_bytes: MAX_INPUT_BYTES,
        found_bytes,
    };
    if bytes(scaled_dims) > MAX_INPUT_BYTES {
        return Err(too_large(bytes(scaled_dims)));
    }
    let dims = network.padded(scaled_dims);
    match bytes(dims) {
        bytes if bytes > MAX_INPUT_BYTES => Err(too_large(bytes)),
        _ => Ok(dims),
    }
}

/// Returns a crop's extent at the target spacing, at least one voxel on each axis. Spacings that
/// differ by less than a thousandth are taken as equal.
fn scaled_dims(dims: [usize; 3], spacing_mm: [f64; 3], target_mm: Option<[f64; 3]>) -> [usize; 3] {
    let Some(target_mm) = target_mm else { return dims };
    std::array::from_fn(|a| {
        let ratio = spacing_mm[a] / target_mm[a];
        match (ratio - 1.0).abs() < 1e-3 {
            true => dims[a],
            // The cast saturates at the largest usize.
            false => (dims[a] as f64 * ratio).round().max(1.0) as usize,
        }
    })
}

/// Narrows a crop around its center until it fits the configured size at the configured spacing.
fn narrow(
    mut start: [usize; 3],
    mut dims: [usize; 3],
    spacing_mm: [f64; 3],
    config: &PreprocessConfig,
) -> ([usize; 3], [usize; 3]) {
    let Some(size) = config.size else { return (start, dims) };
    for axis in 0..3 {
        let scaled = |n: usize| scaled_dims([n; 3], spacing_mm, config.spacing_mm)[axis];
        let ratio = spacing_mm[axis] / config.spacing_mm.unwrap_or(spacing_mm)[axis];
        // An upper bound of the largest extent that fits, then the exact one.
        let max_extent = (size[axis] as f64 / ratio).ceil().max(1.0) as usize + 1;
        let mut fits = dims[axis].min(max_extent);
        while fits > 1 && scaled(fits) > size[axis] {
            fits -= 1;
        }
        start[axis] += (dims[axis] - fits) / 2;
        dims[axis] = fits;
    }
    (start, dims)
}

/// Returns the first voxel and the extent of a mask's bounding box; `None` if the mask is empty.
fn bounding_box(mask: &[bool], [ni, nj, _]: [usize; 3]) -> Option<([usize; 3], [usize; 3])> {
    let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
    for (row, voxels) in mask.chunks_exact(ni).enumerate() {
        let Some(first) = voxels.iter().position(|&m| m) else { continue };
        let last = voxels.iter().rposition(|&m| m).unwrap_or(first);
        for (a, (from, to)) in
            [(first, last), (row % nj, row % nj), (row / nj, row / nj)].into_iter().enumerate()
        {
            low[a] = low[a].min(from);
            high[a] = high[a].max(to);
        }
    }
    let extent = || std::array::from_fn(|a| high[a] - low[a] + 1);
    (low[0] != usize::MAX).then(|| (low, extent()))
}

fn crop(values: &[f32], [ni, nj, _]: [usize; 3], start: [usize; 3], dims: [usize; 3]) -> Vec<f32> {
    let mut out = Vec::with_capacity(dims.iter().product());
    for k in start[2]..start[2] + dims[2] {
        for j in start[1]..start[1] + dims[1] {
            let row = ni * (j + nj * k) + start[0];
            out.extend_from_slice(&values[row..row + dims[0]]);
        }
    }
    out
}

#[cfg(test)]
mod tests;
