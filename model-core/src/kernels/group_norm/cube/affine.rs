//! A norm with known statistics on a GPU, elementwise: alone, or added to a stream.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::super::cube::{
    UNITS, contiguous, cubes, empty, float, in_place_output, indices, vector_size,
};
use super::super::{Layout, NormAffine};
use super::run_split::{RunSplit, part};

/// Returns scale and shift of every channel of every sample.
///
/// # Shapes
/// - output: `[b · c, 2]`
pub fn maps([gamma, beta]: [CubeTensor; 2], statistics: &CubeTensor, layout: Layout) -> CubeTensor {
    let maps = statistics.meta.shape()[0] * layout.channels_per_group();
    let output = empty([maps, 2], DType::F32, statistics);
    // Safety: a unit writes the pair of its own channel, if there is one.
    unsafe {
        affine_kernel::launch_unchecked(
            &output.client,
            cubes(maps.div_ceil(UNITS), &output),
            CubeDim::new_1d(UNITS as u32),
            gamma.into_buffer_arg(),
            beta.into_buffer_arg(),
            statistics.clone().into_buffer_arg(),
            output.clone().into_buffer_arg(),
            maps,
            layout.channels,
            layout.channels_per_group(),
        );
    }
    output
}

/// Applies a norm to x. With a stream, adds `sign` times the result to the stream.
pub fn add(stream: Option<CubeTensor>, x: CubeTensor, norm: &NormAffine, sign: f32) -> CubeTensor {
    let [batch, channels, nk, nj, ni] = x.meta.shape().dims::<5>();
    let (over, position) = stream.as_ref().map_or((&x, 0), |stream| (stream, 1));
    let wider = if x.dtype.size() > over.dtype.size() { &x } else { over };
    let cut = RunSplit::new(vector_size(ni * nj * nk, wider), ni * nj * nk, batch * channels);
    let (client, count, float_of_output) = (x.client.clone(), cubes(cut.cubes, &x), over.dtype);
    let address = indices([&x, over]);
    let (output, output_arg) = in_place_output(over, position);
    // Safety: a unit reads its part of one channel, within the buffers, and writes only where it
    // reads.
    unsafe {
        add_kernel::launch_unchecked(
            &client,
            count,
            CubeDim::new_1d(UNITS as u32),
            address,
            cut.vector,
            x.clone().into_buffer_arg(),
            stream.map(CubeTensor::into_buffer_arg).into(),
            contiguous(&norm.scale_shift).into_buffer_arg(),
            output_arg,
            cut.run,
            cut.parts,
            cut.cubes,
            norm.slope,
            sign,
            float(x.dtype),
            float(float_of_output),
        );
    }
    output
}

/// Computes scale and shift of every channel of every sample, so that `x̂ · gamma + beta` is `x ·
/// scale + shift`.
#[cube(launch_unchecked)]
fn affine_kernel(
    gamma: &[f32],
    beta: &[f32],
    statistics: &[f32],
    output: &mut [f32],
    maps: usize,
    channels: usize,
    channels_per_group: usize,
) {
    let map = ABSOLUTE_POS;
    if map >= maps {
        terminate!();
    }
    let (channel, group) = (map % channels, map / channels_per_group);
    let scale = gamma[channel] * statistics[2 * group + 1];
    output[2 * map] = scale;
    output[2 * map + 1] = beta[channel] - statistics[2 * group] * scale;
}

/// Computes `stream + sign · activation(x · scale + shift)`; without a stream it is zero.
#[cube(launch_unchecked, address_type = "dynamic")]
fn add_kernel<F: Float, S: Float, N: Size>(
    x: &[Vector<F, N>],
    stream: ComptimeOption<&[Vector<S, N>]>,
    norms: &[f32],
    output: &mut [Vector<S, N>],
    run: usize,
    parts: usize,
    num_cubes: usize,
    slope: f32,
    sign: f32,
    #[define(F)] _float: ElemType,
    #[define(S)] _float_of_stream: ElemType,
) {
    if CUBE_POS >= num_cubes {
        terminate!();
    }
    let map = CUBE_POS / parts;
    let scale = Vector::<f32, N>::new(norms[2 * map]);
    let shift = Vector::<f32, N>::new(norms[2 * map + 1]);
    let (start, end) = part(run, parts);
    let mut at = start + UNIT_POS as usize;
    while at < end {
        let z = Vector::<f32, N>::cast_from(x[at]) * scale + shift;
        let y = select_many(z.greater_than(&Vector::new(0.0)), z, z * Vector::new(slope));
        // Rounded to the type of x.
        let y = Vector::<f32, N>::cast_from(Vector::<F, N>::cast_from(y));
        let before: ComptimeOption<Vector<S, N>> = stream.as_ref().map(|stream| stream[at]);
        let before = Vector::<f32, N>::cast_from(before.unwrap_or_default());
        output[at] = Vector::cast_from(before + y * Vector::new(sign));
        at += UNITS;
    }
}
