//! The first half of an inverted bottleneck in one kernel: 1³ expansion, norm, activation and
//! depthwise 3³ convolution. The expanded channels are never stored.

use bytemuck::{Pod, Zeroable};

use super::{
    BLOCK, Dispatch, Kernel, Window, depthwise_conv, group_norm, pack_blocks, pieces,
    pointwise_conv,
};

/// The kernel.
pub const KERNEL: Kernel = Kernel {
    name: "expand_depthwise",
    body: include_str!("expand_depthwise.wgsl"),
    entries: &["main"],
    params_bytes: size_of::<Params>(),
    parts: &[
        super::WINDOW,
        super::MOMENTS,
        super::JOIN_EIGHT,
        super::FOUND,
        super::EIGHT,
        super::PLANES3,
        include_str!("common/expand.wgsl"),
        include_str!("common/channel.wgsl"),
    ],
};

/// Quads along i and rows along j of a tile, as in the WGSL.
pub const TILE: usize = 8;

/// Planes along k per workgroup, as in the WGSL.
pub const SEGMENT: usize = 16;

/// Positions of a tile with its border. They are all expanded, but only [`TILE`]² are kept.
const AREA: u64 = (TILE as u64 + 2).pow(2);

/// See the WGSL struct.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[allow(missing_docs)]
pub struct Params {
    pub window: Window,
    pub num_from: u32,
    pub num_to: u32,
    pub to_channel: u32,
    pub expanded_affine: u32,
    pub first_block: u32,
    pub first_segment: u32,
    pub chunks: u32,
    pub first_chunk: u32,
}

/// Returns the tiles of a plane and the segments of a slab.
fn tiles(window: &Window) -> [usize; 2] {
    let [quads, nj, planes] = [window.quads, window.dims[1], window.planes].map(|n| n as usize);
    [quads.div_ceil(TILE) * nj.div_ceil(TILE), planes.div_ceil(SEGMENT)]
}

/// Returns the chunks of moments of one channel of a slab.
pub fn num_chunks(window: &Window) -> usize {
    tiles(window).iter().product()
}

/// Returns the multiply-adds for a slab, including the tiles' borders.
pub fn work(params: &Params) -> u64 {
    let [tiles, segments] = tiles(&params.window).map(|n| n as u64);
    let planes = u64::from(params.window.planes);
    let blocks = u64::from(params.num_to).div_ceil(BLOCK as u64);
    tiles * blocks * block_work(params, planes, segments)
}

/// Returns the multiply-adds of eight channels of a tile.
fn block_work(params: &Params, planes: u64, segments: u64) -> u64 {
    let expanded = AREA * (planes + 2 * segments) * u64::from(params.num_from);
    4 * BLOCK as u64 * (expanded + 27 * (TILE * TILE) as u64 * planes)
}

/// Returns the dispatches, each of at most `max_cost` multiply-adds if it can be split. They also
/// write moments of the output if `chunks` is not 0. Sets `first_block` and `first_segment`.
pub fn dispatches(params: Params, max_cost: u64) -> Vec<Dispatch<Params>> {
    let [tiles, num_segments] = tiles(&params.window);
    let num_blocks = (params.num_to as usize).div_ceil(BLOCK);
    let planes = u64::from(params.window.planes).min(SEGMENT as u64);
    let block_cost = tiles as u64 * block_work(&params, planes, 1);
    let is_alone = params.window.is_alone();
    let mut list = Vec::new();
    for segments in pieces(num_segments, num_blocks as u64 * block_cost, max_cost) {
        for blocks in pieces(num_blocks, segments.len() as u64 * block_cost, max_cost) {
            let (first_block, first_segment) = (blocks.start as u32, segments.start as u32);
            list.push(Dispatch {
                params: Params { first_block, first_segment, ..params },
                constants: depthwise_conv::constants(is_alone, params.chunks > 0),
                workgroups: [blocks.len() as u32, tiles as u32, segments.len() as u32],
            });
        }
    }
    list
}

/// Returns the length of [`pack`]'s result.
pub fn packed_len(num_to: usize, num_from: usize) -> usize {
    num_to.next_multiple_of(BLOCK) * (num_from + 36)
}

/// Packs the expansion `[to, from]` and the taps `[to, 3, 3, 3]` as the kernel reads them.
pub fn pack(expansion: &[f32], taps: &[f32], num_to: usize, num_from: usize) -> Vec<f32> {
    let mut taps = depthwise_conv::pack(taps);
    taps.resize(num_to.next_multiple_of(BLOCK) * 36, 0.0);
    let expansion = pack_blocks(expansion, num_to, num_from, 1);
    let blocks = expansion.chunks_exact(BLOCK * num_from).zip(taps.chunks_exact(BLOCK * 36));
    blocks.flat_map(|(expansion, taps)| [expansion, taps].concat()).collect()
}

/// Computes the operations one after the other.
///
/// # Shapes
/// `from` `[num_from][k][j][i]`, `to` `[num_to][k][j][i]`, `expansion` `[num_to][num_from]`, `taps`
/// `[num_to][3][3][3]`, `gamma`, `beta` `[num_to]`.
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
        let (dims, num_from, num_to) = ([5, 3, 2], 2, 4);
        let view = |buffer, channels| View { buffer, channels: 0..channels };
        let (input, expanded, output) = (view(0, num_from), view(1, num_to), view(2, num_to));
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
        let buffers = [num_from, num_to, num_to].map(|channels| Buffer { channels, dims });
        let ops = vec![expand, norm, filter];
        let program = Program { buffers: buffers.into(), ops, input, output };
        let values = |count: usize| (0..count).map(|n| ((n * 7919) % 101) as f32 / 50.0 - 1.0);
        let array = |shape: &[usize]| Array {
            shape: shape.to_vec(),
            values: values(shape.iter().product()).collect(),
        };
        let weights = Weights::from([
            ("expand".into(), array(&[num_to, num_from])),
            ("taps".into(), array(&[num_to, 3, 3, 3])),
            ("gamma".into(), array(&[num_to])),
            ("beta".into(), array(&[num_to])),
        ]);
        let image: Vec<f32> = values(num_from * 30).collect();
        let value = |name: &str| &weights[name].values[..];
        let mut found = vec![0.0; num_to * 30];
        let norm = (2, value("gamma"), value("beta"), Activation::LeakyRelu.negative_slope());
        super::reference(&image, &mut found, [value("expand"), value("taps")], norm, dims);
        assert_eq!(found, crate::reference::run(&program, &weights, &image));
    }
}
