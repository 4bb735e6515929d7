//! A norm that a kernel applies to numbers as it loads them.

use cubecl::prelude::*;

use super::super::source::Affine;
use super::contiguous;

/// Scales and shifts of the maps, as kernels take them, and the activation's slope.
pub(in super::super) fn arguments(
    norm: Option<&Affine>,
) -> (ComptimeOptionArgs<&'static [f32]>, f32) {
    let maps = norm.map(|norm| contiguous(&norm.maps).into_buffer_arg());
    (maps.into(), norm.map_or(1.0, |norm| norm.slope))
}

/// What a norm makes of the numbers of one map.
#[derive(CubeType)]
pub(in super::super) struct ChannelAffine {
    scale: f32,
    shift: f32,
    slope: f32,
}

/// That of map `map`; of no use where there is no norm.
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

/// `activation(x · scale + shift)`
#[cube]
pub(in super::super) fn normalized(x: f32, norm: &ChannelAffine) -> f32 {
    let z = x * norm.scale + norm.shift;
    select(z > 0.0, z, z * norm.slope)
}
