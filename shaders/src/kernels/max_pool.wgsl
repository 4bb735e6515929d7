// Maximum over 2³ voxels, for some planes of a slab. An invocation computes four output voxels.

struct Params {
  window: Window, // of the input
  dims: vec3<u32>, // voxels of the output along i, j; planes of its slab
  quads: u32, // of a row of it
  to_channel: u32,
  first: u32, // plane of the output's slab
  start: u32, // plane of the dispatch
  end: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let quad = at % params.quads;
  let j = at / params.quads % params.dims.y;
  let k = params.start + at / params.quads / params.dims.y;
  if (k >= params.end) {
    return;
  }
  let last = params.window.quads - 1u;
  var low = vec4(-3.4e38);
  var high = low;
  for (var n = 0u; n < 4u; n++) {
    let kk = 2u * k + n / 2u;
    let jj = 2u * j + n % 2u;
    low = max(low, fetch(params.window, group.y, kk, jj, 2u * quad));
    // Beyond a row's last quad no voxel of the output reads.
    high = max(high, fetch(params.window, group.y, kk, jj, min(2u * quad + 1u, last)));
  }
  let largest = vec4(max(low.xz, low.yw), max(high.xz, high.yw));
  let plane = (params.to_channel + group.y) * params.dims.z + k - params.first;
  output[(plane * params.dims.y + j) * params.quads + quad] = packed(largest);
}
