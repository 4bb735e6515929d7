// Space to depth and its inverse, for some planes of a slab. Voxel (dk, dj, di) of a cube of 2³
// voxels in channel c becomes channel 8c + 4dk + 2dj + di of one voxel. An invocation moves four
// cubes along i.

struct Params {
  input: InputSlab,
  output: OutputPlanes,
}

@group(0) @binding(0) var<storage, read> params: Params;

fn store(channel: u32, k: u32, j: u32, quad: u32, value: vec4<f32>) {
  if (quad < params.output.row_quads) {
    output[output_index(params.output, channel, k, j, quad)] = to_quad(value);
  }
}

@compute @workgroup_size(64)
fn space_to_depth(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let position = quad_position(params.output, params.output.row_quads, at);
  let quad = position.x;
  let j = position.y;
  let k = position.z;
  if (k >= params.output.end_plane) {
    return;
  }
  let last = params.input.row_quads - 1u;
  for (var n = 0u; n < 4u; n++) {
    let kk = 2u * k + n / 2u;
    let jj = 2u * j + n % 2u;
    let low = fetch(params.input, group.y, kk, jj, 2u * quad);
    let high = fetch(params.input, group.y, kk, jj, min(2u * quad + 1u, last));
    store(8u * group.y + 2u * n, k, j, quad, vec4(low.xz, high.xz));
    store(8u * group.y + 2u * n + 1u, k, j, quad, vec4(low.yw, high.yw));
  }
}

// An invocation moves one row of each cube, since k and j are those of the output.
@compute @workgroup_size(64)
fn depth_to_space(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let slab = params.input;
  let position = quad_position(params.output, slab.row_quads, at);
  let quad = position.x;
  let j = position.y;
  let k = position.z;
  if (k >= params.output.end_plane) {
    return;
  }
  let channel = 8u * group.y + 4u * (k % 2u) + 2u * (j % 2u);
  let even = fetch(slab, channel, k / 2u, j / 2u, quad);
  let odd = fetch(slab, channel + 1u, k / 2u, j / 2u, quad);
  store(group.y, k, j, 2u * quad, vec4(even.x, odd.x, even.y, odd.y));
  store(group.y, k, j, 2u * quad + 1u, vec4(even.z, odd.z, even.w, odd.w));
}
