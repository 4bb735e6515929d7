// Trilinear ×2, corners not aligned, for some planes of a slab; into it, or added to it. An invocation
// computes two quads of one row of the output, which lie above one quad of the input. Each voxel is
// 3/4 of the one that it lies in and 1/4 of that one's neighbor on its side (itself at the border).

struct Params {
  window: Window, // of the input
  to: Planes,
  own_affine: u32, // of the first channel of what is added to
  is_added: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;

// A row's six voxels around a quad, its neighbors at the ends.
struct Row {
  left: f32,
  quad: vec4<f32>,
  right: f32,
}

fn row(c: u32, k: u32, j: u32, quad: u32) -> Row {
  let w = params.window;
  let middle = fetch(w, c, k, j, quad);
  let left = select(fetch(w, c, k, j, max(quad, 1u) - 1u).w, middle.x, quad == 0u);
  // Voxels beyond the last are the last.
  let lanes = min(w.dims.x - quad * 4u, 4u);
  let last = middle[lanes - 1u];
  let next = fetch(w, c, k, j, min(quad + 1u, w.quads - 1u)).x;
  let right = select(next, last, quad * 4u + 4u >= w.dims.x);
  let inside = vec4(0u, 1u, 2u, 3u) < vec4(lanes);
  return Row(left, select(vec4(last), middle, inside), right);
}

fn mixed(near: Row, far: Row) -> Row {
  return Row(
    0.75 * near.left + 0.25 * far.left,
    0.75 * near.quad + 0.25 * far.quad,
    0.75 * near.right + 0.25 * far.right,
  );
}

fn store(c: u32, k: u32, j: u32, quad: u32, value: vec4<f32>) {
  if (quad >= params.to.quads) {
    return;
  }
  let at = place(params.to, c, k, j, quad);
  if (params.is_added == 1u) {
    let own = normed(unpacked(output[at]), affines[params.own_affine + c]);
    output[at] = packed(own + value);
  } else {
    output[at] = packed(value);
  }
}

// The neighbor on the side where an output voxel lies, itself at the border.
fn other(at: u32, size: u32) -> u32 {
  let here = at / 2u;
  if (at % 2u == 0u) {
    return max(here, 1u) - 1u;
  }
  return min(here + 1u, size - 1u);
}

@compute @workgroup_size(64)
fn main(
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
  let c = group.y;
  let far_j = other(j, w.dims.y);
  let far_k = other(k, w.dims.z);
  let near = mixed(row(c, k / 2u, j / 2u, quad), row(c, k / 2u, far_j, quad));
  let far = mixed(row(c, far_k, j / 2u, quad), row(c, far_k, far_j, quad));
  let x = mixed(near, far);
  let lower = vec4(x.left, x.quad.xyz);
  let upper = vec4(x.quad.yzw, x.right);
  let even = 0.75 * x.quad + 0.25 * lower;
  let odd = 0.75 * x.quad + 0.25 * upper;
  store(c, k, j, 2u * quad, vec4(even.x, odd.x, even.y, odd.y));
  store(c, k, j, 2u * quad + 1u, vec4(even.z, odd.z, even.w, odd.w));
}
