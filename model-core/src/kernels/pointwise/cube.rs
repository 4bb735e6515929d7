//! The gradient of the weight on a GPU. A cube computes a block of outputs and inputs over one part
//! of the voxels; a second pass adds the parts.

// A kernel takes its buffers and sizes one by one.
#![allow(clippy::too_many_arguments)]

use burn::Tensor;
use burn::backend::Cube;
use burn::tensor::DType;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::KernelInput;
use super::super::cube::{
    add_partial_sums, arguments, contiguous, cubes, empty, float, indices, map_norm, normalized,
    tensor,
};
use super::{PointwiseConvKernels, RUN, num_parts, product, tile};

/// Outputs, and inputs, of a unit.
const BLOCK: usize = 4;
type Block = Vector<f32, Const<BLOCK>>;

impl PointwiseConvKernels for Cube {
    const APPLIES_NORM: bool = false;

    fn product(matrix: &Tensor<2>, x: &KernelInput) -> Tensor<5> {
        product(matrix, x)
    }

    fn weight_gradient(source: &KernelInput, gradient: &Tensor<5>) -> Tensor<2> {
        let ([batch, from, nk, nj, ni], to) = (source.x.dims(), gradient.dims()[1]);
        let (x, gradient) = (contiguous(&source.x), contiguous(gradient));
        let (norms, slope) = arguments(source.norm.as_ref());
        let voxels = ni * nj * nk;
        let (parts, tile) = (num_parts(from, to, batch, voxels), tile(from, to));
        let share = (batch * voxels.div_ceil(RUN)).div_ceil(parts);
        let blocks = [to.div_ceil(tile), from.div_ceil(tile)];
        let partials = empty([1, parts, to * from], DType::F32, &x);
        let shape = ShapeLaunch::new(batch, from, to, voxels, share, parts, blocks[0], blocks[1]);
        let groups = tile / BLOCK;
        // Safety: a unit reads inside the feature maps and writes its own sums.
        unsafe {
            gradient_kernel::launch_unchecked(
                &x.client,
                cubes(parts * blocks[0] * blocks[1], &x),
                CubeDim::new_1d((groups * groups) as u32),
                indices([&x, &gradient, &partials]),
                x.clone().into_buffer_arg(),
                gradient.into_buffer_arg(),
                norms,
                partials.clone().into_buffer_arg(),
                shape,
                slope,
                groups,
                float(x.dtype),
            );
        }
        tensor(add_partial_sums(partials, [to, from], x.dtype))
    }
}

#[derive(CubeLaunch, CubeType)]
struct Shape {
    batch: usize,
    from: usize,
    to: usize,
    voxels: usize,
    /// Runs per part.
    share: usize,
    parts: usize,
    blocks_to: usize,
    blocks_from: usize,
}

/// Computes `partials[part, o, c] = Σ_v gradient[o, v] · x[c, v]` over the voxels of the part.
#[cube(launch_unchecked, address_type = "dynamic")]
fn gradient_kernel<F: Float>(
    x: &[F],
    gradient: &[F],
    norms: ComptimeOption<&[f32]>,
    partials: &mut [f32],
    shape: Shape,
    slope: f32,
    #[comptime] groups: usize,
    #[define(F)] _float: ElemType,
) {
    // One more than the groups, so that neighboring voxels lie in different memory banks.
    let stride = comptime![groups + 1];
    let block_to = CUBE_POS % shape.blocks_to * groups;
    let block_from = CUBE_POS / shape.blocks_to % shape.blocks_from * groups;
    let part = CUBE_POS / (shape.blocks_to * shape.blocks_from);
    if part >= shape.parts {
        terminate!();
    }
    let (outputs, inputs) = (UNIT_POS as usize % groups, UNIT_POS as usize / groups);
    let mut sums = Array::<Block>::new(BLOCK);
    #[unroll]
    for n in 0..BLOCK {
        sums[n] = Block::new(0.0);
    }
    let mut gradients = Shared::<[Block]>::new_slice(comptime![RUN * stride]);
    let mut values = Shared::<[Block]>::new_slice(comptime![RUN * stride]);
    let runs = shape.voxels.div_ceil(RUN);
    let end = min((part + 1) * shape.share, shape.batch * runs);
    for run in part * shape.share..end {
        let (item, first) = (run / runs, run % runs * RUN);
        sync_cube();
        let (voxels, is_normed) = (shape.voxels, comptime![norms.is_some()]);
        load::<F>(
            gradient,
            &norms,
            slope,
            &mut gradients,
            item,
            shape.to,
            block_to,
            voxels,
            first,
            groups,
            false,
        );
        load::<F>(
            x,
            &norms,
            slope,
            &mut values,
            item,
            shape.from,
            block_from,
            voxels,
            first,
            groups,
            is_normed,
        );
        sync_cube();
        #[unroll]
        for voxel in 0..RUN {
            let gradient = gradients[voxel * stride + outputs];
            let value = values[voxel * stride + inputs];
            #[unroll]
            for n in 0..BLOCK {
                sums[n] += Block::new(gradient.extract(n)) * value;
            }
        }
    }
    let output = (block_to + outputs) * BLOCK;
    let input = (block_from + inputs) * BLOCK;
    #[unroll]
    for n in 0..BLOCK {
        let sum = sums[n];
        #[unroll]
        for m in 0..BLOCK {
            if output + n < shape.to && input + m < shape.from {
                let row = part * shape.to + output + n;
                partials[row * shape.from + input + m] = sum.extract(m);
            }
        }
    }
}

/// Loads a run of voxels into shared memory, normalized, with the channels of a block side by side.
/// Zeros beyond the voxels and channels.
#[cube]
fn load<F: Float>(
    x: &[F],
    norms: &ComptimeOption<&[f32]>,
    slope: f32,
    values: &mut Shared<[Block]>,
    item: usize,
    channels: usize,
    first_block: usize,
    voxels: usize,
    first: usize,
    #[comptime] groups: usize,
    #[comptime] is_normed: bool,
) {
    let mut at = UNIT_POS as usize;
    while at < comptime![RUN * groups] {
        let (voxel, group) = (at % RUN, at / RUN);
        let mut block = Block::new(0.0);
        #[unroll]
        for n in 0..BLOCK {
            let channel = (first_block + group) * BLOCK + n;
            if channel < channels && first + voxel < voxels {
                let map = item * channels + channel;
                let mut value = f32::cast_from(x[map * voxels + first + voxel]);
                if comptime![is_normed] {
                    value = normalized(value, &map_norm(norms, map, slope));
                }
                block.insert(n, value);
            }
        }
        values[voxel * comptime![groups + 1] + group] = block;
        at += comptime![groups * groups];
    }
}
