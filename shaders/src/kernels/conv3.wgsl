// Dense 3³ convolution, zero padding 1. An invocation computes four voxels along i of eight output
// channels: six input values serve 96 multiply-adds, and the weights are the same for the whole
// workgroup.

struct Params {
  dims: vec3<u32>, // voxels along i, j, k
  stride: u32, // vec4s of one channel
  from_offset: u32, // vec4s before the view
  to_offset: u32,
  num_from: u32,
  num_to: u32,
  first_block: u32, // of eight output channels
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
// [block of eight outputs][input][tap][eight outputs]
@group(0) @binding(3) var<storage, read> weights: array<vec4<f32>>;

fn load(row: u32, i: u32) -> f32 {
  // i is −1 as a u32 before the row: both ends are one comparison.
  return select(0.0, input[row + min(i, params.dims.x - 1u)], i < params.dims.x);
}

fn store(channel: u32, voxel: u32, i: u32, value: vec4<f32>) {
  if (channel >= params.num_to) {
    return;
  }
  let at = (params.to_offset + channel * params.stride) * 4u + voxel;
  for (var n = 0u; n < min(4u, params.dims.x - i); n++) {
    output[at + n] = value[n];
  }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let quads = (params.dims.x + 3u) / 4u;
  let i = at % quads * 4u;
  let j = at / quads % params.dims.y;
  let k = at / quads / params.dims.y;
  if (k >= params.dims.z) {
    return;
  }
  let block = params.first_block + group.y;
  var w = block * params.num_from * 54u;
  var a0 = vec4(0.0);
  var a1 = vec4(0.0);
  var a2 = vec4(0.0);
  var a3 = vec4(0.0);
  var a4 = vec4(0.0);
  var a5 = vec4(0.0);
  var a6 = vec4(0.0);
  var a7 = vec4(0.0);
  for (var c = 0u; c < params.num_from; c++) {
    let channel = (params.from_offset + c * params.stride) * 4u;
    for (var tap_row = 0u; tap_row < 9u; tap_row++) {
      let kk = k + tap_row / 3u - 1u;
      let jj = j + tap_row % 3u - 1u;
      if (kk >= params.dims.z || jj >= params.dims.y) {
        w += 6u;
        continue;
      }
      let row = channel + (kk * params.dims.y + jj) * params.dims.x;
      var x = vec4(load(row, i - 1u), load(row, i), load(row, i + 1u), load(row, i + 2u));
      let next = vec2(load(row, i + 3u), load(row, i + 4u));
      for (var tap = 0u; tap < 3u; tap++) {
        let low = weights[w];
        let high = weights[w + 1u];
        w += 2u;
        a0 += x * low.x;
        a1 += x * low.y;
        a2 += x * low.z;
        a3 += x * low.w;
        a4 += x * high.x;
        a5 += x * high.y;
        a6 += x * high.z;
        a7 += x * high.w;
        x = vec4(x.yzw, select(next.y, next.x, tap == 0u));
      }
    }
  }
  let channel = block * 8u;
  let voxel = (k * params.dims.y + j) * params.dims.x + i;
  store(channel, voxel, i, a0);
  store(channel + 1u, voxel, i, a1);
  store(channel + 2u, voxel, i, a2);
  store(channel + 3u, voxel, i, a3);
  store(channel + 4u, voxel, i, a4);
  store(channel + 5u, voxel, i, a5);
  store(channel + 6u, voxel, i, a6);
  store(channel + 7u, voxel, i, a7);
}
