// Depthwise 3³ convolution, zero padding 1. An invocation walks a column of PLANES voxels along k,
// four wide along i, keeping the sums of three planes: an input value is read once for the three
// output planes it touches.

struct Params {
  dims: vec3<u32>, // voxels along i, j, k
  stride: u32, // vec4s of one channel
  from_offset: u32, // vec4s before the view
  to_offset: u32,
  first_channel: u32,
}

const PLANES: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
// [channel][k, j of the kernel], the three taps along i in x, y, z
@group(0) @binding(3) var<storage, read> weights: array<vec4<f32>>;

fn load(row: u32, i: u32) -> f32 {
  // i is −1 as a u32 before the row: both ends are one comparison.
  return select(0.0, input[row + min(i, params.dims.x - 1u)], i < params.dims.x);
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
  let first = at / quads / params.dims.y * PLANES;
  if (first >= params.dims.z) {
    return;
  }
  let channel = params.first_channel + group.y;
  let end = min(first + PLANES, params.dims.z);
  let from_at = (params.from_offset + channel * params.stride) * 4u;
  let to_at = (params.to_offset + channel * params.stride) * 4u;
  let w = channel * 9u;
  // Sums of the output planes below, at and above the input plane.
  var below = vec4(0.0);
  var here = vec4(0.0);
  var above = vec4(0.0);
  for (var plane = first; plane < end + 2u; plane++) {
    let kk = plane - 1u;
    if (kk < params.dims.z) {
      for (var tap = 0u; tap < 3u; tap++) {
        let jj = j + tap - 1u;
        if (jj < params.dims.y) {
          let row = from_at + (kk * params.dims.y + jj) * params.dims.x;
          let x0 = vec4(load(row, i - 1u), load(row, i), load(row, i + 1u), load(row, i + 2u));
          let x1 = vec4(x0.yzw, load(row, i + 3u));
          let x2 = vec4(x1.yzw, load(row, i + 4u));
          let near = weights[w + tap];
          let middle = weights[w + 3u + tap];
          let far = weights[w + 6u + tap];
          above += x0 * near.x + x1 * near.y + x2 * near.z;
          here += x0 * middle.x + x1 * middle.y + x2 * middle.z;
          below += x0 * far.x + x1 * far.y + x2 * far.z;
        }
      }
    }
    if (plane >= first + 2u) {
      let to = to_at + ((plane - 2u) * params.dims.y + j) * params.dims.x + i;
      for (var n = 0u; n < min(4u, params.dims.x - i); n++) {
        output[to + n] = below[n];
      }
    }
    below = here;
    here = above;
    above = vec4(0.0);
  }
}
