//! The scanner of a synthetic head: bias field, resolution, noise, and field of view.

use super::anatomy::in_field;
use crate::geometry::resample;
use crate::phantom::noise::{Random, SmoothNoise};

/// The changes that a scanner makes to an image.
pub(super) struct Scanner {
    bias: [SmoothNoise; 2],
    bias_strength: f32,
    /// The loss of signal per mm below the brain's center.
    neck_loss: f32,
    /// The axis of thick slices, and the fine voxels of each slice.
    slices: Option<(usize, f32)>,
    noise: f32,
    is_background_zero: bool,
    seed: Random,
}

impl Scanner {
    pub fn draw(random: &mut Random) -> Scanner {
        let axis = match random.below(5) {
            0 => 0,
            1 => 1,
            _ => 2,
        };
        let thickness = random.between(1.5, 3.5);
        Scanner {
            bias: [2, 4].map(|cells| SmoothNoise::draw(cells, random)),
            bias_strength: random.between(0.0, 0.5),
            neck_loss: if random.uniform() < 0.3 { random.between(0.0, 0.01) } else { 0.0 },
            slices: (random.uniform() < 0.5).then_some((axis, thickness)),
            noise: random.between(0.0, 0.1) * random.uniform(),
            is_background_zero: random.uniform() < 0.4,
            seed: Random::new(u64::from(random.below(u32::MAX))),
        }
    }

    /// Returns the factor of the intensity at a point.
    pub fn gain(&self, point_mm: [f32; 3]) -> f32 {
        let q = in_field(point_mm);
        let field = 0.7 * self.bias[0].at(q) + 0.3 * self.bias[1].at(q);
        let loss = (1.0 + self.neck_loss * point_mm[2].min(0.0)).max(0.2);
        (1.0 + self.bias_strength * field) * loss
    }

    /// Adds thick slices and noise. `is_air` marks voxels outside the head.
    pub fn scan(mut self, mut values: Vec<f32>, is_air: &[bool], dims: [usize; 3]) -> Vec<f32> {
        let thick_dims = self.slices.map(|(axis, thickness)| {
            let mut thick = dims;
            thick[axis] = ((dims[axis] as f32 / thickness).round() as usize).max(2);
            thick
        });
        if let Some(thick_dims) = thick_dims {
            values = resample::image(&values, dims, thick_dims);
        }
        for value in &mut values {
            let real = *value + self.noise * self.seed.gaussian();
            let imaginary = self.noise * self.seed.gaussian();
            *value = (real * real + imaginary * imaginary).sqrt();
        }
        if let Some(thick_dims) = thick_dims {
            values = resample::image(&values, thick_dims, dims);
        }
        if self.is_background_zero {
            values.iter_mut().zip(is_air).filter(|(_, air)| **air).for_each(|(v, _)| *v = 0.0);
        }
        values
    }
}

/// Draws the part of a grid that the scan shows, as first voxel and size along each axis.
pub(super) fn field_of_view(dims: [usize; 3], random: &mut Random) -> [[usize; 2]; 3] {
    let mut cut = |length: usize, fraction: f32, most: f32| {
        let share = if random.uniform() < fraction { random.between(0.0, most) } else { 0.0 };
        (share * length as f32) as usize
    };
    std::array::from_fn(|axis| {
        let (low, high) = match axis {
            2 => (cut(dims[2], 0.6, 0.42), cut(dims[2], 0.15, 0.25)),
            1 => (cut(dims[1], 0.1, 0.12), cut(dims[1], 0.2, 0.15)),
            _ => (cut(dims[0], 0.1, 0.2), cut(dims[0], 0.1, 0.2)),
        };
        [low, dims[axis] - low - high]
    })
}
