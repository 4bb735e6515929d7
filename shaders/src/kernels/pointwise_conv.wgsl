// 1³ convolution. An invocation computes four voxels of eight output channels: an input value is
// read once for eight outputs, and the weights are the same for the whole workgroup.

struct Params {
  stride: u32, // vec4s of one channel
  from_offset: u32, // vec4s before the view
  to_offset: u32,
  num_from: u32,
  num_to: u32,
  first_block: u32, // of eight output channels
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
// For each block of eight outputs: the bias, then for each input its eight weights.
@group(0) @binding(3) var<storage, read> weights: array<vec4<f32>>;

fn store(channel: u32, at: u32, value: vec4<f32>) {
  if (channel < params.num_to) {
    output[params.to_offset + channel * params.stride + at] = value;
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
  let block = params.first_block + group.y;
  var w = block * 2u * (params.num_from + 1u);
  let low = weights[w];
  let high = weights[w + 1u];
  var a0 = vec4(low.x);
  var a1 = vec4(low.y);
  var a2 = vec4(low.z);
  var a3 = vec4(low.w);
  var a4 = vec4(high.x);
  var a5 = vec4(high.y);
  var a6 = vec4(high.z);
  var a7 = vec4(high.w);
  var from_at = params.from_offset + at;
  for (var c = 0u; c < params.num_from; c++) {
    w += 2u;
    let x = input[from_at];
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
    from_at += params.stride;
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
}
