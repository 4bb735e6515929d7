//! First shared step of training and viewing: makes the network's input from a case's channels.

use std::borrow::Borrow;

use crate::task::check_channels;
use crate::transform::config::{PreprocessConfig, TargetSize, TargetSpacing};
use crate::transform::intensity::{channel_mask, foreground_mask, normalize};
use crate::{
    DEFAULT_TOLERANCE_VOXELS, Error, Placement, Result, UNetConfig, Volume, VoxelBox,
    geometry::resample,
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
pub fn preprocess<V: Borrow<Volume>>(
    channels: &[V],
    config: &PreprocessConfig,
    network: &UNetConfig,
) -> Result<(Input, Placement)> {
    let channels: Vec<&Volume> = channels.iter().map(V::borrow).collect();
    check_channels(&channels)?;
    if channels.len() != network.in_channels() {
        let expected = format!("{} channels", network.in_channels());
        return Err(Error::scan(expected, channels.len()));
    }
    let source = channels[0].grid();
    let orientation = source.orientation();
    let canonical = |volume: &&Volume| {
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
    let foreground = VoxelBox::bounding(&mask, whole, |is_foreground| *is_foreground);
    if foreground.is_empty() {
        return Err(Error::scan("some foreground", "an empty scan"));
    }
    let uncropped = VoxelBox::new([0; 3], whole);
    let spacing_mm = orientation.axes.map(|axis| source.world_from_voxel.spacing_mm()[axis]);
    let crop = narrow(if config.crop { foreground } else { uncropped }, spacing_mm, config);
    let crop_dims = crop.dims();
    let scaled_dims = scaled_dims(crop_dims, spacing_mm, config.spacing_mm.map(TargetSpacing::mm));
    let dims = check_input_size(
        channels.len(),
        config.size.map_or(scaled_dims, TargetSize::voxels),
        network,
    )?;
    let placement = Placement::new(source.clone(), crop, scaled_dims, dims)?;

    let num_voxels: usize = dims.iter().product();
    let mut values = vec![0.0; channels.len() * num_voxels];
    for (mut voxels, out) in canonical.into_iter().zip(values.chunks_exact_mut(num_voxels)) {
        let own_mask = channel_mask(&voxels, config.foreground, &mask);
        normalize(&mut voxels, &own_mask, config.foreground.is_nonzero());
        let cropped = crop.crop(&voxels, whole, |voxel| voxel);
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
fn narrow(crop: VoxelBox, spacing_mm: [f64; 3], config: &PreprocessConfig) -> VoxelBox {
    let Some(size) = config.size.map(TargetSize::voxels) else { return crop };
    let target_mm = config.spacing_mm.map(TargetSpacing::mm);
    let (mut start, mut dims) = (crop.start, crop.dims());
    for axis in 0..3 {
        let scaled = |n: usize| scaled_dims([n; 3], spacing_mm, target_mm)[axis];
        let ratio = spacing_mm[axis] / target_mm.unwrap_or(spacing_mm)[axis];
        // An upper bound of the largest extent that fits, then the exact one.
        let max_extent = (size[axis] as f64 / ratio).ceil().max(1.0) as usize + 1;
        let mut fits = dims[axis].min(max_extent);
        while fits > 1 && scaled(fits) > size[axis] {
            fits -= 1;
        }
        start[axis] += (dims[axis] - fits) / 2;
        dims[axis] = fits;
    }
    VoxelBox::new(start, dims)
}

#[cfg(test)]
mod tests;
