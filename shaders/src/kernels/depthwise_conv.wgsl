// Depthwise 3³ convolution, zero padding 1, of a slab. An invocation walks a column of PLANES voxels
// along k, four wide along i, keeping the sums of three planes: an input value is read once for the
// three output planes it touches.

struct Params {
  window: Window, // of the input; the output's slab is the same
  to_channel: u32,
  first_channel: u32, // of the dispatch, within the views
}

const PLANES: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [channel][k, j of the kernel], the three taps along i in x, y, z
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let dims = params.window.dims;
  let quads = params.window.quads;
  let quad = at % quads;
  let j = at / quads % dims.y;
  let start = at / quads / dims.y * PLANES;
  let planes = params.window.planes;
  if (start >= planes) {
    return;
  }
  let channel = params.first_channel + group.y;
  let end = min(start + PLANES, planes);
  let to = (params.to_channel + channel) * planes;
  let w = channel * 9u;
  // Sums of the output planes below, at and above the input plane.
  var below = vec4(0.0);
  var level = vec4(0.0);
  var above = vec4(0.0);
  for (var plane = start; plane < end + 2u; plane++) {
    let kk = params.window.first + plane - 1u;
    if (kk < dims.z) {
      for (var tap = 0u; tap < 3u; tap++) {
        let jj = j + tap - 1u;
        if (jj < dims.y) {
          let row = fetch_six(params.window, channel, kk, jj, quad);
          let x0 = vec4(row.left, row.middle.xyz);
          let x1 = row.middle;
          let x2 = vec4(row.middle.yzw, row.right);
          let near = weights[w + tap];
          let middle = weights[w + 3u + tap];
          let far = weights[w + 6u + tap];
          above += x0 * near.x + x1 * near.y + x2 * near.z;
          level += x0 * middle.x + x1 * middle.y + x2 * middle.z;
          below += x0 * far.x + x1 * far.y + x2 * far.z;
        }
      }
    }
    if (plane >= start + 2u) {
      output[((to + plane - 2u) * dims.y + j) * quads + quad] = packed(below);
    }
    below = level;
    level = above;
    above = vec4(0.0);
  }
}
