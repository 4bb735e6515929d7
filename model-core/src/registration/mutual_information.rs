//! Mutual information of two scans and its gradient (Mattes et al. 2003): a joint histogram with a
//! box window for the reference and a cubic B-spline for the moving scan.

use std::ops::Range;

use cpu_kernels::parallel;
use glam::{DAffine3, DMat3, DVec3, Mat3, Vec3};

use super::moving::MovingImage;
use super::pyramid::BINS;
use super::samples::Samples;

/// The bins of the moving scan: a B-spline reaches one bin below and two above its own.
const MOVING_BINS: usize = BINS + 3;

/// Samples that one thread processes at a time. Sums are formed in this order on any number of
/// threads, so the result is the same to the bit.
const CHUNK: usize = 8192;

/// The two scans at one resolution.
pub(super) struct MutualInformation<'a> {
    pub samples: &'a Samples,
    pub moving: &'a MovingImage,
}

/// The mutual information under one map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Similarity {
    /// In nats.
    pub information: f64,
    /// The fraction of the samples in the moving scan's field of view.
    pub overlap: f64,
    /// The change of the information per millimeter of translation, in the moving world.
    pub force: DVec3,
    /// The sum of each sample's change per millimeter, as a column, times its offset from the
    /// center in the reference, as a row.
    pub moment: DMat3,
}

/// The moving scan at a sample: the position in the histogram, and the gradient.
struct Observation {
    sample: u32,
    value: f32,
    gradient: Vec3,
}

impl MutualInformation<'_> {
    /// Returns the mutual information and its gradient under a map from offsets from the center of
    /// the reference's head to the moving world.
    pub fn evaluate(&self, moving_from_offset: &DAffine3) -> Similarity {
        let voxel_from_offset = self.moving.voxel_from_world * *moving_from_offset;
        let matrix: Mat3 = voxel_from_offset.matrix3.as_mat3();
        let translation = voxel_from_offset.translation.as_vec3();
        let num_samples = self.samples.offsets.len();
        let chunks: Vec<Range<usize>> = (0..num_samples)
            .step_by(CHUNK)
            .map(|start| start..(start + CHUNK).min(num_samples))
            .collect();
        let observed = parallel::map(chunks, |_, chunk| self.observe(chunk, matrix, translation));
        let mut joint = vec![0f64; BINS * MOVING_BINS];
        for (_, histogram) in &observed {
            joint.iter_mut().zip(histogram).for_each(|(sum, &count)| *sum += f64::from(count));
        }
        let count: usize = observed.iter().map(|(observations, _)| observations.len()).sum();
        let (information, table) = information(&joint, count);
        let observations = observed.into_iter().map(|(observations, _)| observations).collect();
        let sums = parallel::map(observations, |_, chunk| self.differentiate(&chunk, &table));
        let voxel_from_world = self.moving.voxel_from_world.matrix3.transpose();
        let scale = 1.0 / count.max(1) as f64;
        let force: DVec3 = sums.iter().map(|(force, _)| force.as_dvec3()).sum();
        let moment = sums.iter().fold(DMat3::ZERO, |sum, (_, moment)| sum + moment.as_dmat3());
        Similarity {
            information,
            overlap: count as f64 / num_samples.max(1) as f64,
            force: voxel_from_world * force * scale,
            moment: voxel_from_world * moment * scale,
        }
    }

    /// Looks a range of samples up in the moving scan, and counts them in a joint histogram.
    fn observe(
        &self,
        range: Range<usize>,
        matrix: Mat3,
        translation: Vec3,
    ) -> (Vec<Observation>, Vec<f32>) {
        let mut histogram = vec![0f32; BINS * MOVING_BINS];
        let mut observations = Vec::with_capacity(range.len());
        let pairs =
            self.samples.offsets[range.clone()].iter().zip(&self.samples.bins[range.clone()]);
        for (n, (offset, &bin)) in pairs.enumerate() {
            let Some((value, gradient)) = self.moving.at(matrix * *offset + translation) else {
                continue;
            };
            let below = value as usize;
            let start = usize::from(bin) * MOVING_BINS + below;
            if let Some(bins) = histogram.get_mut(start..start + 4) {
                let weights = b_spline(value - below as f32);
                bins.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
            }
            observations.push(Observation { sample: (range.start + n) as u32, value, gradient });
        }
        (observations, histogram)
    }

    /// Sums the gradients of samples, in units of the moving scan's voxels, and their moments.
    fn differentiate(&self, observations: &[Observation], table: &[f32]) -> (Vec3, Mat3) {
        let (mut force, mut moment) = (Vec3::ZERO, Mat3::ZERO);
        for Observation { sample, value, gradient } in observations {
            let sample = *sample as usize;
            let below = *value as usize;
            let start = usize::from(self.samples.bins[sample]) * MOVING_BINS + below;
            let Some(bins) = table.get(start..start + 4) else { continue };
            let slopes = b_spline_slopes(value - below as f32);
            let slope: f32 = bins.iter().zip(slopes).map(|(entry, slope)| entry * slope).sum();
            let pull = *gradient * slope;
            let offset = self.samples.offsets[sample];
            force += pull;
            moment.x_axis += pull * offset.x;
            moment.y_axis += pull * offset.y;
            moment.z_axis += pull * offset.z;
        }
        (force, moment)
    }
}

/// Returns the mutual information of a joint histogram of `count` samples, and for each of its bins
/// the change of the information with the bin's probability, up to constants that cancel.
fn information(joint: &[f64], count: usize) -> (f64, Vec<f32>) {
    let scale = 1.0 / count.max(1) as f64;
    let mut moving = [0f64; MOVING_BINS];
    for row in joint.chunks_exact(MOVING_BINS) {
        moving.iter_mut().zip(row).for_each(|(sum, count)| *sum += count * scale);
    }
    let mut table = Vec::with_capacity(joint.len());
    let mut information = 0.0;
    for row in joint.chunks_exact(MOVING_BINS) {
        let reference: f64 = row.iter().map(|count| count * scale).sum();
        for (count, moving) in row.iter().zip(moving) {
            let p = count * scale;
            let conditional = if p > 1e-12 { (p / moving).ln() } else { 0.0 };
            if p > 1e-12 {
                information += p * (conditional - reference.ln());
            }
            table.push(conditional as f32);
        }
    }
    (information, table)
}

/// Returns the weights of four bins around a fraction of the second.
#[inline]
fn b_spline(f: f32) -> [f32; 4] {
    let (g, f2, f3) = (1.0 - f, f * f, f * f * f);
    [g * g * g, 4.0 - 6.0 * f2 + 3.0 * f3, 1.0 + 3.0 * (f + f2 - f3), f3].map(|w| w / 6.0)
}

/// Returns the derivatives of [`b_spline`].
#[inline]
fn b_spline_slopes(f: f32) -> [f32; 4] {
    let (g, f2) = (1.0 - f, f * f);
    [-g * g, 3.0 * f2 - 4.0 * f, 1.0 + 2.0 * f - 3.0 * f2, f2].map(|w| 0.5 * w)
}
