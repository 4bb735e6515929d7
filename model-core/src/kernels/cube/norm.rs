//! A norm that a kernel applies while it loads values.

use cubecl::prelude::*;

use super::super::kernel_input::NormAffine;
use super::contiguous;

/// Returns the scales and shifts as kernel arguments, and the activation's slope.
pub(in super::super) fn arguments(
    norm: Option<&NormAffine>,
) -> (ComptimeOptionArgs<&'static [f32]>, f32) {
    let maps = norm.map(|norm| contiguous(&norm.scale_shift).into_buffer_arg());
    (maps.into(), norm.map_or(1.0, |norm| norm.slope))
}

/// The affine map and activation of one channel of one sample.
#[derive(CubeType)]
pub(in super::super) struct ChannelAffine {
    scale: f32,
    shift: f32,
    slope: f32,
}

/// Loads the norm of channel `map`; unused if the input has no norm.
#[cube]
pub(in super::super) fn map_norm(
    norms: &ComptimeOption<&[f32]>,
    map: usize,
    slope: f32,
) -> ChannelAffine {
    let scale: ComptimeOption<f32> = norms.as_ref().map(|norms| norms[2 * map]);
    let shift: ComptimeOption<f32> = norms.as_ref().map(|norms| norms[2 * map + 1]);
    ChannelAffine { scale: scale.unwrap_or_default(), shift: shift.unwrap_or_default(), slope }
}

/// Computes `activation(x · scale + shift)`.
#[cube]
pub(in super::super) fn normalized(x: f32, norm: &ChannelAffine) -> f32 {
    let z = x * norm.scale + norm.shift;
    select(z > 0.0, z, z * norm.slope)
}
