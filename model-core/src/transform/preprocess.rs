//! First shared step of training and viewing: from the channels of a case to the network's input.

use serde::{Deserialize, Serialize};

use crate::task::check_channels;
use crate::transform::intensity::{foreground, normalize};
use crate::{
    DEFAULT_TOLERANCE_VOXELS, Error, Placement, Result, UNetConfig, Volume, geometry::resample,
};

mod cost;

pub use cost::working_bytes;

/// How intensities are normalised and what counts as foreground; the same for training and viewing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessConfig {
    /// The spacing along right, front, top that the network sees; the source's own if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f64; 3]>,
    /// Which voxels are the subject.
    pub foreground: Foreground,
    /// Whether the input is cropped to the foreground's bounding box.
    #[serde(default)]
    pub crop: bool,
    /// The input's voxels along right, front, top: what is larger is cut to that around its
    /// center, after cropping and resampling, and what is smaller padded with zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 3]>,
}

/// Which voxels are the subject: those that normalisation takes its statistics from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreground {
    /// Nonzero in any channel: skull-stripped scans.
    Nonzero,
    /// Above Otsu's threshold of the channels' mean (Otsu 1979).
    Otsu,
    /// The whole volume.
    Whole,
}

/// Right for any scan: nothing is cropped, every voxel counts.
impl Default for PreprocessConfig {
    fn default() -> Self {
        PreprocessConfig {
            spacing_mm: None,
            foreground: Foreground::Whole,
            crop: false,
            size: None,
        }
    }
}

impl PreprocessConfig {
    /// Refuses spacings and sizes that mean nothing.
    ///
    /// # Errors
    /// [`Error::Geometry`].
    pub fn check(&self) -> Result<()> {
        match (self.spacing_mm, self.size) {
            (Some(spacing), _) if !spacing.iter().all(|s| (0.05..=50.0).contains(s)) => {
                Err(Error::geometry("a spacing from 0.05 to 50 mm", format!("{spacing:?}")))
            }
            (_, Some(size)) if !size.iter().all(|n| (1..=MAX_SIZE).contains(n)) => {
                Err(Error::geometry(format!("a size from 1 to {MAX_SIZE}"), format!("{size:?}")))
            }
            _ => Ok(()),
        }
    }
}

/// A network's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Channels, in the task's order.
    pub channels: usize,
    /// Voxels along right, front, top: i, j, k of the tensor.
    pub dims: [usize; 3],
    /// Intensities, `[channel][k][j][i]`.
    pub values: Vec<f32>,
}

/// The largest input that is made: what a 32-bit browser can hold.
pub const MAX_INPUT_BYTES: u64 = 2 << 30;

/// The most voxels along an axis that an input can be asked to have.
const MAX_SIZE: usize = 4096;

/// The input of a network, and where it lies on the source, the grid of the first channel; the
/// others may be stored in another axis order. Canonical order (RAS+), z-score over
/// the foreground, crop, resampling, zeros around it up to a size that the network takes.
///
/// Where the input's size is given, the crop is narrowed around its center until it fits; the
/// statistics are those of the whole foreground all the same.
///
/// Statistics are taken in canonical order in f64, one voxel behind the other: the same numbers
/// for the same scan in whatever axis order it is stored, on every machine.
///
/// # Errors
/// [`Error::Scan`] when channels and network do not fit or nothing is foreground;
/// [`Error::Geometry`]; [`Error::TooLarge`].
pub fn preprocess(
    channels: &[Volume],
    config: &PreprocessConfig,
    network: &UNetConfig,
) -> Result<(Input, Placement)> {
    config.check()?;
    network.check()?;
    check_channels(channels)?;
    if channels.len() != network.in_channels {
        let expected = format!("{} channels", network.in_channels);
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
    let mask = foreground(&canonical, config.foreground);
    let whole = orientation.canonical_dims(source.dims);
    let (start, crop_dims) = match bounding_box(&mask, whole) {
        None => return Err(Error::scan("some foreground", "an empty scan")),
        Some(found) if config.crop => found,
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

/// The network's size for a crop, refused before anything of that size is allocated.
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
        found if found > MAX_INPUT_BYTES => Err(too_large(found)),
        _ => Ok(dims),
    }
}

/// A crop's extent at the wanted spacing, at least one voxel on each axis. Spacings that differ by
/// less than a thousandth are the same.
fn scaled_dims(dims: [usize; 3], spacing_mm: [f64; 3], wanted_mm: Option<[f64; 3]>) -> [usize; 3] {
    let Some(wanted_mm) = wanted_mm else { return dims };
    std::array::from_fn(|a| {
        let ratio = spacing_mm[a] / wanted_mm[a];
        match (ratio - 1.0).abs() < 1e-3 {
            true => dims[a],
            // A float becomes the nearest integer that a usize holds.
            false => (dims[a] as f64 * ratio).round().max(1.0) as usize,
        }
    })
}

/// The middle of a crop, as much of it as fits the wanted size at the wanted spacing.
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
        // The largest extent that is not above the size, but for rounding; then exactly.
        let most = (size[axis] as f64 / ratio).ceil().max(1.0) as usize + 1;
        let mut fits = dims[axis].min(most);
        while fits > 1 && scaled(fits) > size[axis] {
            fits -= 1;
        }
        start[axis] += (dims[axis] - fits) / 2;
        dims[axis] = fits;
    }
    (start, dims)
}

/// First voxel and extent of the box around a mask; none where the mask is empty.
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
