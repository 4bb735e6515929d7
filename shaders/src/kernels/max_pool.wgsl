// Maximum over 2³ voxels, for some planes of a slab. An invocation computes four output voxels.

struct Params {
  input: InputSlab,
  output: OutputPlanes,
}

@group(0) @binding(0) var<storage, read> params: Params;

@compute @workgroup_size(64)
fn main(
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
  var low = vec4(-3.4e38);
  var high = low;
  for (var n = 0u; n < 4u; n++) {
    let kk = 2u * k + n / 2u;
    let jj = 2u * j + n % 2u;
    low = max(low, fetch(params.input, group.y, kk, jj, 2u * quad));
    // Beyond a row's last quad no voxel of the output reads.
    high = max(high, fetch(params.input, group.y, kk, jj, min(2u * quad + 1u, last)));
  }
  let largest = vec4(max(low.xz, low.yw), max(high.xz, high.yw));
  output[output_index(params.output, group.y, k, j, quad)] = to_quad(largest);
}
