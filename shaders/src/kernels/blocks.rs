//! Blocks of output channels, and the layout of their weights.

/// Output channels per block.
pub const BLOCK: usize = 8;

/// Packs weights `[output][input][taps]` as the convolution kernels read them,
/// `[block][input][tap][BLOCK]`, with zeros beyond the last output.
pub(super) fn pack_blocks(
    weight: &[f32],
    out_channels: usize,
    in_channels: usize,
    taps: usize,
) -> Vec<f32> {
    let mut packed = vec![0.0; out_channels.div_ceil(BLOCK) * in_channels * taps * BLOCK];
    for to in 0..out_channels {
        for at in 0..in_channels * taps {
            let place = (to / BLOCK * in_channels * taps + at) * BLOCK + to % BLOCK;
            packed[place] = weight[to * in_channels * taps + at];
        }
    }
    packed
}
