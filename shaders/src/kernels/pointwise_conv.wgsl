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

@group(0) @binding(0) var<uniform> params: Params;
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
  let at = (group.z * groups.x + group.x) * 64u + local;
  if (at >= params.stride) {
    return;
  }
  let block = params.first_block + 2u * group.y;
  let has_second = block * 8u + 8u < params.num_to;
  let second = select(0u, (params.num_from + 1u) * 2u, has_second);
  var w = block * (params.num_from + 1u) * 2u;
  let with_bias = f32(1u - params.is_more);
  let low = weights[w] * with_bias;
  let high = weights[w + 1u] * with_bias;
  let low_b = weights[w + second] * with_bias;
  let high_b = weights[w + second + 1u] * with_bias;
  var a0 = vec4(low.x);
  var a1 = vec4(low.y);
  var a2 = vec4(low.z);
  var a3 = vec4(low.w);
  var a4 = vec4(high.x);
  var a5 = vec4(high.y);
  var a6 = vec4(high.z);
  var a7 = vec4(high.w);
  var b0 = vec4(low_b.x);
  var b1 = vec4(low_b.y);
  var b2 = vec4(low_b.z);
  var b3 = vec4(low_b.w);
  var b4 = vec4(high_b.x);
  var b5 = vec4(high_b.y);
  var b6 = vec4(high_b.z);
  var b7 = vec4(high_b.w);
  for (var c = 0u; c < params.num_from; c++) {
    let value = unpacked(input[params.from_offset + c * params.stride + at]);
    let x = normed(value, affines[params.affine + c]);
    w += 2u;
    let low = weights[w];
    let high = weights[w + 1u];
    a0 += x * low.x;
    a1 += x * low.y;
    a2 += x * low.z;
    a3 += x * low.w;
    a4 += x * high.x;
    a5 += x * high.y;
    a6 += x * high.z;
    a7 += x * high.w;
    if (has_second) {
      let low = weights[w + second];
      let high = weights[w + second + 1u];
      b0 += x * low.x;
      b1 += x * low.y;
      b2 += x * low.z;
      b3 += x * low.w;
      b4 += x * high.x;
      b5 += x * high.y;
      b6 += x * high.z;
      b7 += x * high.w;
    }
  }
  let channel = block * 8u;
  store(channel, at, a0);
  store(channel + 1u, at, a1);
  store(channel + 2u, at, a2);
  store(channel + 3u, at, a3);
  store(channel + 4u, at, a4);
  store(channel + 5u, at, a5);
  store(channel + 6u, at, a6);
  store(channel + 7u, at, a7);
  if (has_second) {
    store(channel + 8u, at, b0);
    store(channel + 9u, at, b1);
    store(channel + 10u, at, b2);
    store(channel + 11u, at, b3);
    store(channel + 12u, at, b4);
    store(channel + 13u, at, b5);
    store(channel + 14u, at, b6);
    store(channel + 15u, at, b7);
  }
}
