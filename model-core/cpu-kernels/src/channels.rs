//! Channels of a feature map as slices, with the norm to apply while loading.

use crate::vector::{Vector, vectorized};

/// The affine map and activation of a norm, for one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelAffine {
    /// Factor.
    pub scale: f32,
    /// Added after the factor.
    pub shift: f32,
    /// The activation's factor for negative values; 1 for none.
    pub slope: f32,
}

impl ChannelAffine {
    /// Changes nothing.
    pub const IDENTITY: ChannelAffine = ChannelAffine { scale: 1.0, shift: 0.0, slope: 1.0 };

    /// Returns the map of a norm with known statistics. `slope` is the activation's factor for
    /// negative values.
    pub fn new([gamma, beta]: [f32; 2], statistics: Statistics, slope: f32) -> Self {
        let scale = gamma * statistics.inverse_deviation;
        ChannelAffine { scale, shift: beta - statistics.mean * scale, slope }
    }

    /// Applies the map to one value.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        let z = x * self.scale + self.shift;
        if z > 0.0 { z } else { z * self.slope }
    }

    /// Applies the map to all values of a vector.
    #[inline(always)]
    pub(crate) fn apply_vector<V: Vector>(self, x: V) -> V {
        let z = x.mul_add(V::splat(self.scale), V::splat(self.shift));
        z.rectified(V::splat(self.slope))
    }
}

/// Mean and 1 / standard deviation of a group of channels.
#[derive(Debug, Clone, Copy)]
pub struct Statistics {
    /// Mean.
    pub mean: f32,
    /// 1 / √(variance + ε).
    pub inverse_deviation: f32,
}

/// Channels of one or several samples, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Channels<'a> {
    values: &'a [f32],
    affines: Option<&'a [ChannelAffine]>,
}

impl<'a> Channels<'a> {
    /// Returns channels with the norm to apply to each; `None` applies none.
    pub fn new(values: &'a [f32], affines: Option<&'a [ChannelAffine]>) -> Self {
        Channels { values, affines }
    }

    /// Returns channel `n` of `voxels` voxels.
    pub fn channel(&self, n: usize, voxels: usize) -> Channel<'a> {
        let values = &self.values[n * voxels..][..voxels];
        Channel { values, affine: self.affines.map(|affines| affines[n]) }
    }

    /// Returns the channels of sample `n`, of `channels` channels of `voxels` voxels.
    pub fn sample(&self, n: usize, channels: usize, voxels: usize) -> Channels<'a> {
        let values = &self.values[n * channels * voxels..][..channels * voxels];
        Channels { values, affines: self.affines.map(|a| &a[n * channels..][..channels]) }
    }

    /// Returns the values of all channels if no norm is to be applied.
    pub(crate) fn plain(&self) -> Option<&'a [f32]> {
        self.affines.is_none().then_some(self.values)
    }

    /// Returns the number of values of all channels.
    #[allow(clippy::len_without_is_empty)] // a map has at least one voxel
    pub fn len(&self) -> usize {
        self.values.len()
    }
}

/// One channel of a feature map.
#[derive(Debug, Clone, Copy)]
pub struct Channel<'a> {
    values: &'a [f32],
    affine: Option<ChannelAffine>,
}

impl<'a> Channel<'a> {
    /// Returns the stored values.
    pub(crate) fn values(self) -> &'a [f32] {
        self.values
    }

    /// Returns the map to apply.
    pub(crate) fn affine(self) -> ChannelAffine {
        self.affine.unwrap_or(ChannelAffine::IDENTITY)
    }

    /// Returns the map to apply, if there is one.
    pub(crate) fn norm(self) -> Option<ChannelAffine> {
        self.affine
    }

    /// Loads `to.len()` values from index `at` on, normalized.
    pub(crate) fn load(self, to: &mut [f32], at: usize) {
        let from = &self.values[at..][..to.len()];
        match self.affine {
            None => to.copy_from_slice(from),
            Some(affine) => normalize(from, affine, to),
        }
    }
}

vectorized! {
    fn normalize(from: &[f32], affine: ChannelAffine, to: &mut [f32]) = normalize_by, 1
}

#[inline(always)]
fn normalize_by<V: Vector>(from: &[f32], affine: ChannelAffine, to: &mut [f32]) {
    for (to, from) in to.chunks_mut(V::LANES).zip(from.chunks(V::LANES)) {
        affine.apply_vector(V::load_some(from)).store_some(to);
    }
}
