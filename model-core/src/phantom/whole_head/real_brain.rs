//! A skull-stripped scan, prepared so that heads can be built around it.

use super::distance::distance_mm;
use crate::task::check_channels;
use crate::{DEFAULT_TOLERANCE_VOXELS, Error, Result, Volume, VoxelBox};

/// The margin of the prepared grid around the brain. Farther points take the distance of the margin.
const MARGIN_MM: f32 = 44.0;

/// The radius of the closing that turns the brain's surface into the smooth inside of the skull.
const CLOSING_MM: f32 = 12.0;

/// The largest accepted prepared grid.
const MAX_VOXELS: usize = 1 << 26;

/// A skull-stripped scan on a grid with margins, and the distances around its brain.
#[derive(Debug, Clone)]
pub struct RealBrain {
    pub(super) dims: [usize; 3],
    pub(super) spacing_mm: [f32; 3],
    /// Half of the extent of the brain's bounding box. Its center is the origin of all points.
    pub(super) half_mm: [f32; 3],
    /// For each channel the intensities, 1 on average in the brain.
    pub(super) channels: Vec<Vec<f32>>,
    /// For each channel the intensity of fluid.
    pub(super) fluid: Vec<f32>,
    /// 1 in the brain, 0 outside.
    pub(super) inside: Vec<f32>,
    /// The distance from the brain after a closing.
    pub(super) distance_mm: Vec<f32>,
    /// The center of the lowest slices of the brain, where the spinal cord continues it.
    pub(super) stem_mm: [f32; 3],
}

/// The interpolation weights of one point: the eight voxels around it.
pub(super) struct Corners {
    pub indices: [usize; 8],
    pub weights: [f32; 8],
}

impl Corners {
    pub fn mean(&self, values: &[f32]) -> f32 {
        self.indices.iter().zip(self.weights).map(|(&index, weight)| weight * values[index]).sum()
    }
}

impl RealBrain {
    /// Prepares the aligned channels of a skull-stripped scan. The brain is where any channel is
    /// nonzero.
    ///
    /// # Errors
    /// [`Error::Scan`] if the channels differ in size, if there is no background, or if there are
    /// fewer than 1000 voxels of brain; [`Error::TooLarge`].
    pub fn new(channels: &[Volume]) -> Result<RealBrain> {
        check_channels(channels)?;
        let source = channels[0].grid();
        let orientation = source.orientation();
        let whole = orientation.canonical_dims(source.dims);
        let canonical = channels.iter().map(|volume| {
            let alignment = source.align(volume.grid(), DEFAULT_TOLERANCE_VOXELS)?;
            let voxels = alignment.reorder(volume.values().to_vec());
            Ok(orientation.to_canonical(source.dims, &voxels))
        });
        let canonical = canonical.collect::<Result<Vec<Vec<f32>>>>()?;
        let mask: Vec<bool> =
            (0..source.num_voxels()).map(|n| canonical.iter().any(|c| c[n] != 0.0)).collect();
        let count = mask.iter().filter(|inside| **inside).count();
        if count < 1000 || count == mask.len() {
            let expected = "a skull-stripped scan, 0 outside the brain";
            return Err(Error::scan(expected, format!("{count} of {} nonzero", mask.len())));
        }
        let source_spacing = source.world_from_voxel.spacing_mm();
        let spacing_mm = orientation.axes.map(|axis| source_spacing[axis] as f32);
        let bounds = VoxelBox::bounding(&mask, whole, |inside| *inside);
        Padded::new(&bounds, whole, spacing_mm)?.prepare(&canonical, &mask)
    }

    /// Returns the number of channels.
    pub fn num_channels(&self) -> usize {
        self.channels.len()
    }

    /// Returns the voxels around a point, in mm from the brain's center.
    pub(super) fn corners(&self, point_mm: [f32; 3]) -> Corners {
        let mut start = [0; 3];
        let mut shares = [0.0; 3];
        for a in 0..3 {
            let middle = 0.5 * (self.dims[a] as f32 - 1.0);
            let position = point_mm[a] / self.spacing_mm[a] + middle;
            let clamped = position.clamp(0.0, (self.dims[a] - 1) as f32 - 1e-3);
            start[a] = clamped as usize;
            shares[a] = clamped - start[a] as f32;
        }
        let mut corners = Corners { indices: [0; 8], weights: [0.0; 8] };
        for n in 0..8 {
            let offset: [usize; 3] = [n & 1, n >> 1 & 1, n >> 2];
            let voxel: [usize; 3] = std::array::from_fn(|a| start[a] + offset[a]);
            corners.indices[n] = voxel[0] + self.dims[0] * (voxel[1] + self.dims[1] * voxel[2]);
            let weight = |a: usize| if offset[a] == 1 { shares[a] } else { 1.0 - shares[a] };
            corners.weights[n] = weight(0) * weight(1) * weight(2);
        }
        corners
    }
}

/// The grid with margins, which is centered on the brain's bounding box.
struct Padded {
    whole: [usize; 3],
    spacing_mm: [f32; 3],
    /// The source voxel of the first voxel of the grid; it may be before the source.
    start: [isize; 3],
    dims: [usize; 3],
    half_mm: [f32; 3],
}

impl Padded {
    fn new(bounds: &VoxelBox, whole: [usize; 3], spacing_mm: [f32; 3]) -> Result<Padded> {
        let margin = spacing_mm.map(|spacing| (MARGIN_MM / spacing).ceil() as usize);
        let extent = bounds.dims();
        let dims = std::array::from_fn(|a| extent[a] + 2 * margin[a]);
        let num_voxels = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if num_voxels.is_none_or(|n| n > MAX_VOXELS) {
            let found_bytes = 4 * num_voxels.unwrap_or(usize::MAX / 4) as u64;
            let limit_bytes = 4 * MAX_VOXELS as u64;
            return Err(Error::TooLarge {
                what: "the scan with margins",
                limit_bytes,
                found_bytes,
            });
        }
        let start = std::array::from_fn(|a| bounds.start[a] as isize - margin[a] as isize);
        let half_mm = std::array::from_fn(|a| 0.5 * extent[a] as f32 * spacing_mm[a]);
        Ok(Padded { whole, spacing_mm, start, dims, half_mm })
    }

    /// Returns values on the grid with margins, with the default outside the source.
    fn pad<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let [ni, nj, nk] = self.dims;
        let source = |voxel: [usize; 3]| -> Option<usize> {
            let mut at = [0; 3];
            for a in 0..3 {
                let position = self.start[a] + voxel[a] as isize;
                at[a] = usize::try_from(position).ok().filter(|&p| p < self.whole[a])?;
            }
            Some(at[0] + self.whole[0] * (at[1] + self.whole[1] * at[2]))
        };
        let mut out = Vec::with_capacity(ni * nj * nk);
        for k in 0..nk {
            for j in 0..nj {
                out.extend(
                    (0..ni).map(|i| source([i, j, k]).map_or(T::default(), |at| values[at])),
                );
            }
        }
        out
    }

    fn prepare(&self, canonical: &[Vec<f32>], mask: &[bool]) -> Result<RealBrain> {
        let mut channels: Vec<Vec<f32>> = canonical.iter().map(|c| self.pad(c)).collect();
        let mut mask = self.pad(mask);
        trim_partial_voxels(&mut mask, &channels, self.dims);
        channels.iter_mut().for_each(|channel| scale_to_mean_1(channel, &mask));
        let fluid = fluid(&channels, &mask);
        let stem_mm = self.stem(&mask);
        let closing: Vec<bool> = distance_mm(&mask, self.dims, self.spacing_mm)
            .into_iter()
            .map(|distance| distance > CLOSING_MM)
            .collect();
        let closed: Vec<bool> = distance_mm(&closing, self.dims, self.spacing_mm)
            .into_iter()
            .map(|distance| distance > CLOSING_MM)
            .collect();
        let closed: Vec<bool> = closed.iter().zip(&mask).map(|(a, b)| *a || *b).collect();
        Ok(RealBrain {
            dims: self.dims,
            spacing_mm: self.spacing_mm,
            half_mm: self.half_mm,
            fluid,
            channels,
            inside: mask.iter().map(|&inside| f32::from(u8::from(inside))).collect(),
            distance_mm: distance_mm(&closed, self.dims, self.spacing_mm),
            stem_mm,
        })
    }

    /// Returns the center of the lowest 6 mm of the brain.
    fn stem(&self, mask: &[bool]) -> [f32; 3] {
        let plane = self.dims[0] * self.dims[1];
        let lowest = mask.iter().position(|inside| *inside).unwrap_or(0) / plane;
        let end = lowest + (6.0 / self.spacing_mm[2]).ceil() as usize;
        let (mut sum, mut count) = ([0.0; 3], 0.0);
        for (n, _) in mask.iter().enumerate().take(end * plane).filter(|(_, inside)| **inside) {
            let voxel = [n % self.dims[0], n / self.dims[0] % self.dims[1], n / plane];
            count += 1.0;
            for a in 0..3 {
                let middle = 0.5 * (self.dims[a] as f32 - 1.0);
                sum[a] += (voxel[a] as f32 - middle) * self.spacing_mm[a];
            }
        }
        sum.map(|sum| sum / f32::max(count, 1.0))
    }
}

/// Removes voxels of the brain's surface that are darker than half of their neighbors in the brain.
/// A scan that was averaged to coarser voxels is nonzero where only an eighth of a voxel was brain.
fn trim_partial_voxels(mask: &mut [bool], channels: &[Vec<f32>], dims: [usize; 3]) {
    let strides = [1, dims[0], dims[0] * dims[1]];
    let is_surface = |n: usize| strides.iter().any(|&s| !mask[n - s] || !mask[n + s]);
    let mut trimmed = Vec::new();
    // The margins are wide enough that no voxel of the brain is on the grid's border.
    for n in (0..mask.len()).filter(|&n| mask[n] && is_surface(n)) {
        let neighbors = strides.iter().flat_map(|&s| [n - s, n + s]).filter(|&m| mask[m]);
        let (mut here, mut around, mut count) = (0.0, 0.0, 0.0);
        for neighbor in neighbors {
            count += 1.0;
            around += channels.iter().map(|channel| channel[neighbor]).sum::<f32>();
        }
        here += channels.iter().map(|channel| channel[n]).sum::<f32>();
        if count == 0.0 || here * count < 0.5 * around {
            trimmed.push(n);
        }
    }
    trimmed.into_iter().for_each(|n| mask[n] = false);
}

/// Divides by the mean in the mask, and limits outliers to six times of it.
fn scale_to_mean_1(channel: &mut [f32], mask: &[bool]) {
    let inside = || channel.iter().zip(mask).filter(|(_, inside)| **inside).map(|(v, _)| *v);
    let count = inside().count().max(1) as f32;
    let mean = inside().map(f64::from).sum::<f64>() as f32 / count;
    let factor = if mean > 0.0 { 1.0 / mean } else { 1.0 };
    channel.iter_mut().for_each(|value| *value = (*value * factor).clamp(0.0, 6.0));
}

/// Returns the intensity of fluid in each channel: the mean where the first channel (T1) is darkest
/// and another one is bright.
fn fluid(channels: &[Vec<f32>], mask: &[bool]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..mask.len()).filter(|&n| mask[n]).collect();
    order.sort_unstable_by(|&a, &b| channels[0][a].total_cmp(&channels[0][b]));
    order.truncate(order.len() / 15);
    // Among the darkest voxels of T1, those that are brightest in any other channel.
    let brightness =
        |n: usize| channels[1..].iter().map(|channel| channel[n]).fold(0.0f32, f32::max);
    order.sort_unstable_by(|&a, &b| brightness(b).total_cmp(&brightness(a)));
    order.truncate((order.len() / 3).max(1));
    let mean = |channel: &Vec<f32>| {
        order.iter().map(|&n| channel[n]).sum::<f32>() / order.len().max(1) as f32
    };
    channels.iter().map(mean).collect()
}
