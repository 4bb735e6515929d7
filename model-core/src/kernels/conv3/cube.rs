//! Dense 3³ convolution on a GPU, as an implicit matrix product. A cube computes a block of outputs
//! on a tile of voxels, one input channel after the other, and loads the next channel while it
//! computes the current one.
//!
//! In half precision on hardware with matrix units, burn's own implicit GEMM runs instead: its
//! throughput is higher by specification, not by measurement. The algorithm is chosen by name, so
//! that no candidate that stores the im2col matrix, 27 times the input, is ever tried.

// A kernel takes its buffers and sizes one by one.
#![allow(clippy::too_many_arguments)]

mod tile;
mod weight;

use burn::Tensor;
use burn::backend::Cube;
use burn::tensor::ops::ConvOptions;
use burn_cubecl::kernel::conv::{
    ConvStrategy, conv_data_backward, conv_forward, conv_weight_backward,
};
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::cube::{
    UNITS, arguments, contiguous, cubes, empty, float, has_matrix_units, indices, map_norm,
    normalized, owned, tensor,
};
use super::super::{DeviceKind, KernelInput, OpShape, group_norm, primitive};
use super::{Conv3Kernels, slabs};
use tile::{BLOCK, Block, GROUPS, OUTSIDE, Point, places};

impl Conv3Kernels for Cube {
    fn forward(source: &KernelInput, weight: &Tensor<5>) -> Tensor<5> {
        let output = weight.dims()[0];
        let by_units = planes_of_units(&source.x, output).and_then(|planes| {
            let weight = contiguous(weight);
            slabs::convolve(&source.x, output, planes, |x| {
                let (x, weight) = (slab(source, x), weight.clone());
                conv_forward::<3>(x, weight, None, options(), ConvStrategy::ImplicitGemm)
                    .ok()
                    .map(tensor)
            })
        });
        by_units.unwrap_or_else(|| tensor(convolve(source, contiguous(weight), output, false)))
    }

    fn input_gradient(gradient: Tensor<5>, weight: &Tensor<5>) -> Tensor<5> {
        let input = weight.dims()[1];
        let by_units = planes_of_units(&gradient, input).and_then(|planes| {
            let weight = contiguous(weight);
            slabs::convolve(&gradient, input, planes, |gradient| {
                let (gradient, weight) = (contiguous(&gradient), weight.clone());
                let mut shape = gradient.meta.shape().clone();
                shape[1] = input;
                let strategy = ConvStrategy::ImplicitGemm;
                conv_data_backward::<3>(gradient, weight, shape, options(), strategy)
                    .ok()
                    .map(tensor)
            })
        });
        by_units
            .unwrap_or_else(|| tensor(convolve(&gradient.into(), contiguous(weight), input, true)))
    }

    fn weight_gradient(source: &KernelInput, gradient: &Tensor<5>) -> Tensor<5> {
        let shape = [gradient.dims()[1], source.x.dims()[1], 3, 3, 3];
        let by_units = planes_of_units(&source.x, shape[0]).and_then(|planes| {
            slabs::weight_gradient(&source.x, gradient, planes, |x, gradient| {
                let (x, gradient) = (slab(source, x), contiguous(&gradient));
                let strategy = ConvStrategy::ImplicitGemm;
                conv_weight_backward::<3>(x, gradient, shape.into(), options(), strategy)
                    .ok()
                    .map(tensor)
            })
        });
        by_units.unwrap_or_else(|| tensor(weight::gradient(source, contiguous(gradient), shape)))
    }
}

/// Returns a slab of x for burn's product: in a buffer of its own, normalized.
fn slab(source: &KernelInput, x: Tensor<5>) -> CubeTensor {
    owned(group_norm::normalized::<Cube>(KernelInput { x, norm: source.norm.clone() }))
}

/// Returns the number of planes per slab for a convolution of x to `to` channels on matrix units;
/// `None` if the hardware has none.
fn planes_of_units(x: &Tensor<5>, to: usize) -> Option<usize> {
    let [batch, from, nk, nj, ni] = x.dims();
    let (place, float_bytes) = (DeviceKind::Gpu, x.dtype().size() as u64);
    let op_shape = OpShape {
        device: place,
        float_bytes,
        batch,
        in_channels: from,
        out_channels: to,
        dims: [ni, nj, nk],
    };
    has_matrix_units(&primitive::<Cube, 5>(x.clone())).then(|| slabs::num_planes(&op_shape))
}

fn options() -> ConvOptions<3> {
    ConvOptions::new([1; 3], [1; 3], [1; 3], 1)
}

/// Rows of a unit.
const ROWS: usize = 8;

fn convolve(source: &KernelInput, weight: CubeTensor, to: usize, is_mirrored: bool) -> CubeTensor {
    let x = contiguous(&source.x);
    let (norms, slope) = arguments(source.norm.as_ref());
    let [batch, from, nk, nj, ni] = x.meta.shape().dims();
    assert!(ni * nj * nk < u32::MAX as usize, "maps of fewer than 2³² voxels");
    let output = empty([batch, to, nk, nj, ni], x.dtype, &x);
    let width = [8, 16].into_iter().find(|&width| ni <= width).unwrap_or(32);
    let depth = UNITS / GROUPS / width;
    let tiles = [ni.div_ceil(width), nj.div_ceil(ROWS), nk.div_ceil(depth)];
    let blocks = to.div_ceil(GROUPS * BLOCK);
    let shape = ShapeLaunch::new(batch, from, to, ni, nj, nk, tiles[0], tiles[1], tiles[2], blocks);
    let count = batch * blocks * tiles.iter().product::<usize>();
    // Safety: what is read lies inside the maps, and each unit writes its own voxels.
    unsafe {
        convolve_kernel::launch_unchecked(
            &output.client,
            cubes(count, &output),
            CubeDim::new_1d(UNITS as u32),
            indices([&x, &output]),
            x.clone().into_buffer_arg(),
            weight.into_buffer_arg(),
            norms,
            output.clone().into_buffer_arg(),
            shape,
            slope,
            width,
            is_mirrored,
            float(x.dtype),
        );
    }
    output
}

#[derive(CubeLaunch, CubeType)]
struct Shape {
    batch: usize,
    from: usize,
    to: usize,
    ni: usize,
    nj: usize,
    nk: usize,
    tiles_i: usize,
    tiles_j: usize,
    tiles_k: usize,
    blocks: usize,
}

/// Starts to load a unit's values of one channel, and its weights.
#[cube]
fn fetch<F: Float>(
    x: &[F],
    weight: &[F],
    next: &mut Array<F>,
    next_weights: &mut Array<F>,
    places: &Array<u32>,
    shape: &Shape,
    item: usize,
    block: usize,
    channel: usize,
    #[comptime] loads: usize,
    #[comptime] is_mirrored: bool,
) {
    let start = (item * shape.from + channel) * (shape.ni * shape.nj * shape.nk);
    let is_channel = channel < shape.from;
    #[unroll]
    for n in 0..loads {
        next[n] = F::new(0.0);
        if is_channel && places[n] != OUTSIDE {
            next[n] = x[start + places[n] as usize];
        }
    }
    let tap = UNIT_POS as usize / GROUPS;
    let first = (block * GROUPS + UNIT_POS as usize % GROUPS) * BLOCK;
    #[unroll]
    for n in 0..BLOCK {
        let output = first + n;
        next_weights[n] = F::new(0.0);
        if is_channel && tap < 27 && output < shape.to {
            if comptime![is_mirrored] {
                next_weights[n] = weight[(channel * shape.to + output) * 27 + 26 - tap];
            } else {
                next_weights[n] = weight[(output * shape.from + channel) * 27 + tap];
            }
        }
    }
}

/// Computes `output[o, v] = Σ_c Σ_t weight[o, c, t] · x[c, v + t − 1]`. If `mirrored`, the weight
/// is `weight[c, o, 26 − t]`.
#[cube(launch_unchecked, address_type = "dynamic")]
fn convolve_kernel<F: Float>(
    x: &[F],
    weight: &[F],
    norms: ComptimeOption<&[f32]>,
    output: &mut [F],
    shape: Shape,
    slope: f32,
    #[comptime] width: usize,
    #[comptime] is_mirrored: bool,
    #[define(F)] _float: ElemType,
) {
    let depth = comptime![UNITS / GROUPS / width];
    let stride = comptime![width + 2];
    let lines = comptime![ROWS + 2];
    let area = comptime![(depth + 2) * lines * stride];
    let loads = comptime![area.div_ceil(UNITS)];
    let block = CUBE_POS % shape.blocks;
    let tile = CUBE_POS / shape.blocks;
    let tile_i = tile % shape.tiles_i;
    let tile_j = tile / shape.tiles_i % shape.tiles_j;
    let tile_k = tile / (shape.tiles_i * shape.tiles_j) % shape.tiles_k;
    let item = tile / (shape.tiles_i * shape.tiles_j * shape.tiles_k);
    if item >= shape.batch {
        terminate!();
    }
    let dims = Point { i: shape.ni as u32, j: shape.nj as u32, k: shape.nk as u32 };
    let corner =
        Point { i: (tile_i * width) as u32, j: (tile_j * ROWS) as u32, k: (tile_k * depth) as u32 };
    let places =
        places(&dims, &corner, comptime![stride as u32], comptime![lines as u32], area, UNITS);

    let mut tile = Shared::<[f32]>::new_slice(comptime![2 * area]);
    let mut weights = Shared::<[Block]>::new_slice(comptime![2 * 27 * GROUPS]);
    let mut next = Array::<F>::new(loads);
    let mut next_weights = Array::<F>::new(BLOCK);
    fetch::<F>(
        x,
        weight,
        &mut next,
        &mut next_weights,
        &places,
        &shape,
        item,
        block,
        0usize,
        loads,
        is_mirrored,
    );
    let unit = UNIT_POS as usize;
    let (column, plane) = (unit % width, unit / width % depth);
    let group = unit / comptime![width * depth];
    let mut sums = Array::<Block>::new(ROWS);
    #[unroll]
    for row in 0..ROWS {
        sums[row] = Block::new(0.0);
    }
    for channel in 0..shape.from {
        let start = channel % 2 * area;
        let first_weight = channel % 2 * comptime![27 * GROUPS];
        let norm = map_norm(&norms, item * shape.from + channel, slope);
        #[unroll]
        for n in 0..loads {
            let at = unit + comptime![n * UNITS];
            if at < area {
                let mut value = f32::cast_from(next[n]);
                if comptime![norms.is_some()] {
                    value = select(places[n] != OUTSIDE, normalized(value, &norm), 0.0f32);
                }
                tile[start + at] = value;
            }
        }
        if unit < comptime![27 * GROUPS] {
            let mut block = Block::new(0.0);
            #[unroll]
            for n in 0..BLOCK {
                block.insert(n, f32::cast_from(next_weights[n]));
            }
            weights[first_weight + unit] = block;
        }
        sync_cube();
        fetch::<F>(
            x,
            weight,
            &mut next,
            &mut next_weights,
            &places,
            &shape,
            item,
            block,
            channel + 1,
            loads,
            is_mirrored,
        );
        for dk in 0..3usize {
            #[unroll]
            for di in 0..3usize {
                let tap = first_weight + (dk * 9 + di) * GROUPS + group;
                let mut taps = Array::<Block>::new(3usize);
                #[unroll]
                for dj in 0..3usize {
                    taps[dj] = weights[tap + dj * comptime![3 * GROUPS]];
                }
                let from = start + (plane + dk) * (lines * stride) + column + di;
                #[unroll]
                for line in 0..lines {
                    let value = Block::new(tile[from + line * stride]);
                    #[unroll]
                    for dj in 0..3usize {
                        if comptime![line >= dj && line < dj + ROWS] {
                            sums[comptime![line - dj]] += taps[dj] * value;
                        }
                    }
                }
            }
        }
    }
    let (i, k) = (tile_i * width + column, tile_k * depth + plane);
    let first = (block * GROUPS + group) * BLOCK;
    #[unroll]
    for row in 0..ROWS {
        let j = tile_j * ROWS + row;
        let sum = sums[row];
        #[unroll]
        for n in 0..BLOCK {
            if i < shape.ni && j < shape.nj && k < shape.nk && first + n < shape.to {
                let map = item * shape.to + first + n;
                let voxel = ((map * shape.nk + k) * shape.nj + j) * shape.ni + i;
                output[voxel] = F::cast_from(sum.extract(n));
            }
        }
    }
}
