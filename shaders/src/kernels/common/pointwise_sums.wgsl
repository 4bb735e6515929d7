// A 1³ convolution at four voxels, for two blocks of eight output channels.

struct TwoBlocks {
  a: EightChannels,
  b: EightChannels,
}

// Computes a block and the next one. The second result is meaningless without a next block.
fn convolve_two_blocks(block: u32, at: u32) -> TwoBlocks {
  let has_second = block * 8u + 8u < params.out_channels;
  let second = select(0u, (params.in_channels + 1u) * 2u, has_second);
  var w = block * (params.in_channels + 1u) * 2u;
  let with_bias = f32(1u - params.adds_to_output);
  var a = broadcast_eight(weights[w] * with_bias, weights[w + 1u] * with_bias);
  let v = w + second;
  var b = broadcast_eight(weights[v] * with_bias, weights[v + 1u] * with_bias);
  for (var c = 0u; c < params.in_channels; c++) {
    let value = to_f32(input[params.input_offset + c * params.stride + at]);
    let x = apply_norm(value, affines[params.affine + c]);
    w += 2u;
    a = add_products(a, x, weights[w], weights[w + 1u]);
    if (has_second) {
      b = add_products(b, x, weights[w + second], weights[w + second + 1u]);
    }
  }
  return TwoBlocks(a, b);
}
