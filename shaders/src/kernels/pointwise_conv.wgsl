// 1³ convolution of a slab. An invocation computes four voxels of two blocks of eight output channels:
// an input value is read once for all of them, and the weights are the same for the whole workgroup.

struct Params {
  stride: u32, // quads of one channel of the slab
  from_offset: u32, // quads before the view
  to_offset: u32,
  affine: u32, // of the first input channel
  num_from: u32,
  num_to: u32,
  first_block: u32, // of eight output channels; even
  is_more: u32, // 1: added to what is there, without the bias
}

override IS_SMALL: bool; // a slab of fewer quads than a workgroup, of which one takes several

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [block of eight outputs][bias, inputs][eight outputs]
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;

fn store(channel: u32, at: u32, value: vec4<f32>) {
  if (channel >= params.num_to) {
    return;
  }
  let place = params.to_offset + channel * params.stride + at;
  if (params.is_more == 1u) {
    output[place] = packed(unpacked(output[place]) + value);
  } else {
    output[place] = packed(value);
  }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  var at = (group.z * groups.x + group.x) * 64u + local;
  var block = params.first_block + 2u * group.y;
  if (IS_SMALL) {
    block += 2u * (at / params.stride);
    at %= params.stride;
  }
  if (at >= params.stride || block * 8u >= params.num_to) {
    return;
  }
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
  store_eight(block * 8u, at, a);
  if (has_second) {
    store_eight(block * 8u + 8u, at, b);
  }
}
