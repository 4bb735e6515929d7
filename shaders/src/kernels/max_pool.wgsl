// Maximum over 2³ voxels, for some planes of a slab. An invocation computes four output voxels.

struct Params {
  window: Window, // of the input
  to: Planes,
}

@group(0) @binding(0) var<storage, read> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let s = spot(params.to, params.to.quads, at);
  let quad = s.x;
  let j = s.y;
  let k = s.z;
  if (k >= params.to.end) {
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
  output[place(params.to, group.y, k, j, quad)] = packed(largest);
}
