// Four voxels of two blocks of eight output channels of a 1³ convolution.

struct Blocks {
  a: Eight,
  b: Eight,
}

// Of the block and the one after it, if there is one.
fn convolved(block: u32, at: u32) -> Blocks {
  let has_second = block * 8u + 8u < params.num_to;
  let second = select(0u, (params.num_from + 1u) * 2u, has_second);
  var w = block * (params.num_from + 1u) * 2u;
  let with_bias = f32(1u - params.is_more);
  var a = spread(weights[w] * with_bias, weights[w + 1u] * with_bias);
  let v = w + second;
  var b = spread(weights[v] * with_bias, weights[v + 1u] * with_bias);
  for (var c = 0u; c < params.num_from; c++) {
    let value = unpacked(input[params.from_offset + c * params.stride + at]);
    let x = normed(value, affines[params.affine + c]);
    w += 2u;
    a = plus(a, x, weights[w], weights[w + 1u]);
    if (has_second) {
      b = plus(b, x, weights[w + second], weights[w + second + 1u]);
    }
  }
  return Blocks(a, b);
}
