//! The first half of an inverted bottleneck in one kernel: 1³ expansion, norm, activation and
//! depthwise 3³ convolution. The expanded channels are never stored.

use bytemuck::{Pod, Zeroable};

use super::blocks::{BLOCK, pack_blocks};
use super::kernel::{self, Dispatch, Kernel};
use super::slab::InputSlab;
use super::workgroups::split_by_cost;
use super::{depthwise_conv, group_norm, pointwise_conv};

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "expand_depthwise",
    body: include_str!("expand_depthwise.wgsl"),
    entries: &["main"],
    params_bytes: size_of::<Params>(),
    includes: &[
        kernel::INPUT_SLAB,
        kernel::MOMENTS,
        kernel::REDUCE_EIGHT,
        kernel::SHIFTED_SUMS,
        kernel::EIGHT_CHANNELS,
        kernel::PLANE_SUMS,
        include_str!("common/expand_tile.wgsl"),
        include_str!("common/eight_plane_sums.wgsl"),
    ],
};

/// Quads along i and rows along j of a tile, as in the WGSL.
pub const TILE: usize = 8;

/// Planes along k per workgroup, as in the WGSL.
pub const SEGMENT_PLANES: usize = 16;

/// Positions of a tile with its border. They are all expanded, but only [`TILE`]² are kept.
const PADDED_AREA: u64 = (TILE as u64 + 2).pow(2);

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub input: InputSlab,
    pub in_channels: u32,
    pub out_channels: u32,
    pub output_channel: u32,
    pub expanded_affine: u32,
    pub first_block: u32,
    pub first_segment: u32,
    pub chunks: u32,
    pub first_chunk: u32,
}

/// Returns the tiles of a plane and the segments of a slab.
fn tiles(slab: &InputSlab) -> [usize; 2] {
    let [quads, nj, planes] = [slab.row_quads, slab.dims[1], slab.planes].map(|n| n as usize);
    [quads.div_ceil(TILE) * nj.div_ceil(TILE), planes.div_ceil(SEGMENT_PLANES)]
}

/// Returns the chunks of moments of one channel of a slab.
pub fn num_chunks(slab: &InputSlab) -> usize {
    tiles(slab).iter().product()
}

/// Returns the multiply-adds for a slab, including the tiles' borders.
pub fn work(params: &Params) -> u64 {
    let [tiles, segments] = tiles(&params.input).map(|n| n as u64);
    let planes = u64::from(params.input.planes);
    let blocks = u64::from(params.out_channels).div_ceil(BLOCK as u64);
    tiles * blocks * block_work(params, planes, segments)
}

/// Returns the multiply-adds of eight channels of a tile.
fn block_work(params: &Params, planes: u64, segments: u64) -> u64 {
    let expanded = PADDED_AREA * (planes + 2 * segments) * u64::from(params.in_channels);
    4 * BLOCK as u64 * (expanded + 27 * (TILE * TILE) as u64 * planes)
}

/// Returns the dispatches, each of at most `max_cost` multiply-adds if it can be split. They also
/// write moments of the output if `chunks` is not 0. Sets `first_block` and `first_segment`.
pub fn dispatches(params: Params, max_cost: u64) -> Vec<Dispatch<Params>> {
    let [tiles, num_segments] = tiles(&params.input);
    let num_blocks = (params.out_channels as usize).div_ceil(BLOCK);
    let planes = u64::from(params.input.planes).min(SEGMENT_PLANES as u64);
    let block_cost = tiles as u64 * block_work(&params, planes, 1);
    let is_only_slab = params.input.is_only_slab();
    let mut list = Vec::new();
    for segments in split_by_cost(num_segments, num_blocks as u64 * block_cost, max_cost) {
        for blocks in split_by_cost(num_blocks, segments.len() as u64 * block_cost, max_cost) {
            let (first_block, first_segment) = (blocks.start as u32, segments.start as u32);
            list.push(Dispatch {
                params: Params { first_block, first_segment, ..params },
                constants: depthwise_conv::constants(is_only_slab, params.chunks > 0),
                workgroups: [blocks.len() as u32, tiles as u32, segments.len() as u32],
            });
        }
    }
    list
}

/// Returns the length of [`pack`]'s result.
pub fn packed_len(out_channels: usize, in_channels: usize) -> usize {
    out_channels.next_multiple_of(BLOCK) * (in_channels + 36)
}

/// Packs the expansion `[to, from]` and the taps `[to, 3, 3, 3]` as the kernel reads them.
pub fn pack(expansion: &[f32], taps: &[f32], out_channels: usize, in_channels: usize) -> Vec<f32> {
    let mut taps = depthwise_conv::pack(taps);
    taps.resize(out_channels.next_multiple_of(BLOCK) * 36, 0.0);
    let expansion = pack_blocks(expansion, out_channels, in_channels, 1);
    let blocks = expansion.chunks_exact(BLOCK * in_channels).zip(taps.chunks_exact(BLOCK * 36));
    blocks.flat_map(|(expansion, taps)| [expansion, taps].concat()).collect()
}

/// Computes the operations one after the other.
///
/// # Shapes
/// `from` `[in_channels][k][j][i]`, `to` `[out_channels][k][j][i]`, `expansion`
/// `[out_channels][in_channels]`, `taps` `[out_channels][3][3][3]`, `gamma`, `beta`
/// `[out_channels]`.
pub fn reference(
    from: &[f32],
    to: &mut [f32],
    [expansion, taps]: [&[f32]; 2],
    (groups, gamma, beta, negative_slope): (usize, &[f32], &[f32], f32),
    dims: [usize; 3],
) {
    let voxels = dims.iter().product();
    let mut expanded = vec![0.0; to.len()];
    pointwise_conv::reference(from, &mut expanded, expansion, None, voxels);
    group_norm::reference(&mut expanded, groups, gamma, beta, negative_slope, voxels);
    depthwise_conv::reference(&expanded, to, taps, dims);
}

#[cfg(test)]
mod tests {
    use model_core::{Activation, Array, Buffer, Op, Program, View, Weights};

    /// The tests of the engine compare with the separate operations, so this reference is compared
    /// with them too.
    #[test]
    fn its_reference_is_that_of_the_three_operations() {
        let (dims, in_channels, out_channels) = ([5, 3, 2], 2, 4);
        let view = |buffer, channels| View { buffer, channels: 0..channels };
        let (input, expanded, output) =
            (view(0, in_channels), view(1, out_channels), view(2, out_channels));
        let norm = Op::GroupNorm {
            from: expanded.clone(),
            to: expanded.clone(),
            groups: 2,
            gamma: "gamma".into(),
            beta: "beta".into(),
            activation: Activation::LeakyRelu,
        };
        let (from, to) = (input.clone(), expanded.clone());
        let expand = Op::Pointwise { from, to, weight: "expand".into(), bias: None };
        let (from, to) = (expanded, output.clone());
        let filter = Op::Depthwise3 { from, to, weight: "taps".into() };
        let buffers =
            [in_channels, out_channels, out_channels].map(|channels| Buffer { channels, dims });
        let ops = vec![expand, norm, filter];
        let program = Program { buffers: buffers.into(), ops, input, output };
        let values = |count: usize| (0..count).map(|n| ((n * 7919) % 101) as f32 / 50.0 - 1.0);
        let array = |shape: &[usize]| Array {
            shape: shape.to_vec(),
            values: values(shape.iter().product()).collect(),
        };
        let weights = Weights::from([
            ("expand".into(), array(&[out_channels, in_channels])),
            ("taps".into(), array(&[out_channels, 3, 3, 3])),
            ("gamma".into(), array(&[out_channels])),
            ("beta".into(), array(&[out_channels])),
        ]);
        let image: Vec<f32> = values(in_channels * 30).collect();
        let value = |name: &str| &weights[name].values[..];
        let mut found = vec![0.0; out_channels * 30];
        let norm = (2, value("gamma"), value("beta"), Activation::LeakyRelu.negative_slope());
        super::reference(&image, &mut found, [value("expand"), value("taps")], norm, dims);
        assert_eq!(found, crate::reference::run(&program, &weights, &image));
    }
}
