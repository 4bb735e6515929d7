// Trilinear ×2, corners not aligned. An invocation computes the eight output voxels inside one
// input voxel, one axis after the other: each lies a quarter voxel from its center, so it is 3/4
// of that voxel and 1/4 of the neighbor on its side (itself at the border).

struct Params {
  dims: vec3<u32>, // voxels of the input along i, j, k
  from_stride: u32, // vec4s of one input channel
  to_stride: u32,
  from_offset: u32, // vec4s before the view
  to_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

// The two outputs along i, of one input row.
fn along_i(row: u32, before: u32, i: u32, after: u32) -> vec2<f32> {
  return 0.75 * input[row + i] + 0.25 * vec2(input[row + before], input[row + after]);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let size = params.dims;
  let here = vec3(at % size.x, at / size.x % size.y, at / size.x / size.y);
  if (here.z >= size.z) {
    return;
  }
  let before = max(here, vec3(1u)) - 1u;
  let after = min(here + 1u, size - 1u);
  let channel = (params.from_offset + group.y * params.from_stride) * 4u;
  // (even, odd) outputs along i in x, y; then (even, odd) along j in xy, zw.
  var planes: array<vec4<f32>, 3>;
  let ks = vec3(before.z, here.z, after.z);
  for (var p = 0u; p < 3u; p++) {
    let plane = channel + ks[p] * size.y * size.x;
    let row_before = along_i(plane + before.y * size.x, before.x, here.x, after.x);
    let row_here = along_i(plane + here.y * size.x, before.x, here.x, after.x);
    let row_after = along_i(plane + after.y * size.x, before.x, here.x, after.x);
    planes[p] = 0.75 * vec4(row_here, row_here) + 0.25 * vec4(row_before, row_after);
  }
  let row = 2u * size.x;
  let to = (params.to_offset + group.y * params.to_stride) * 4u;
  for (var odd = 0u; odd < 2u; odd++) {
    let y = 0.75 * planes[1] + 0.25 * planes[odd * 2u];
    let place = to + ((2u * here.z + odd) * 2u * size.y + 2u * here.y) * row + 2u * here.x;
    output[place] = y.x;
    output[place + 1u] = y.y;
    output[place + row] = y.z;
    output[place + row + 1u] = y.w;
  }
}
