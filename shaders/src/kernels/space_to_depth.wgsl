// Space to depth and back, for some planes of a slab. A cube of 2³ voxels is one voxel of eight
// channels, 8c + 4dk + 2dj + di; an invocation moves four cubes, which lie along i.

struct Params {
  window: Window, // of the input
  to: Planes,
}

@group(0) @binding(0) var<storage, read> params: Params;

fn store(channel: u32, k: u32, j: u32, quad: u32, value: vec4<f32>) {
  if (quad < params.to.quads) {
    output[place(params.to, channel, k, j, quad)] = packed(value);
  }
}

@compute @workgroup_size(64)
fn squeeze(
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
  for (var n = 0u; n < 4u; n++) {
    let kk = 2u * k + n / 2u;
    let jj = 2u * j + n % 2u;
    let low = fetch(params.window, group.y, kk, jj, 2u * quad);
    let high = fetch(params.window, group.y, kk, jj, min(2u * quad + 1u, last));
    store(8u * group.y + 2u * n, k, j, quad, vec4(low.xz, high.xz));
    store(8u * group.y + 2u * n + 1u, k, j, quad, vec4(low.yw, high.yw));
  }
}

// Planes and rows are those of the cubes' voxels.
@compute @workgroup_size(64)
fn unsqueeze(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let w = params.window;
  let s = spot(params.to, w.quads, at);
  let quad = s.x;
  let j = s.y;
  let k = s.z;
  if (k >= params.to.end) {
    return;
  }
  let channel = 8u * group.y + 4u * (k % 2u) + 2u * (j % 2u);
  let even = fetch(w, channel, k / 2u, j / 2u, quad);
  let odd = fetch(w, channel + 1u, k / 2u, j / 2u, quad);
  store(group.y, k, j, 2u * quad, vec4(even.x, odd.x, even.y, odd.y));
  store(group.y, k, j, 2u * quad + 1u, vec4(even.z, odd.z, even.w, odd.w));
}
