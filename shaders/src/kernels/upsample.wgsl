// Trilinear ×2 without aligned corners, for some planes of a slab, written to it or added to it. An
// invocation computes two output quads of one row, which cover one input quad. Along each axis an
// output voxel is 3/4 of the input voxel that it lies in and 1/4 of that voxel's neighbor on the
// same side (itself at the border).

struct Params {
  input: InputSlab,
  output: OutputPlanes,
  output_affine: u32, // index for the first output channel, if it is added to
  adds_to_output: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;

// Loads four voxels and the two beside them; beyond the ends of a row its end voxels repeat.
fn fetch_six_clamped(c: u32, k: u32, j: u32, quad: u32) -> SixVoxels {
  let slab = params.input;
  let middle = fetch(slab, c, k, j, quad);
  let left = select(fetch(slab, c, k, j, max(quad, 1u) - 1u).w, middle.x, quad == 0u);
  let num_valid = min(slab.dims.x - quad * 4u, 4u);
  let last = middle[num_valid - 1u];
  let next = fetch(slab, c, k, j, min(quad + 1u, slab.row_quads - 1u)).x;
  let right = select(next, last, quad * 4u + 4u >= slab.dims.x);
  let inside = vec4(0u, 1u, 2u, 3u) < vec4(num_valid);
  return SixVoxels(left, select(vec4(last), middle, inside), right);
}

// Returns 3/4 of one row and 1/4 of another.
fn blend(near: SixVoxels, far: SixVoxels) -> SixVoxels {
  return SixVoxels(
    0.75 * near.left + 0.25 * far.left,
    0.75 * near.middle + 0.25 * far.middle,
    0.75 * near.right + 0.25 * far.right,
  );
}

fn store(c: u32, k: u32, j: u32, quad: u32, value: vec4<f32>) {
  if (quad >= params.output.row_quads) {
    return;
  }
  let at = output_index(params.output, c, k, j, quad);
  if (params.adds_to_output == 1u) {
    let own = apply_norm(to_f32(output[at]), affines[params.output_affine + c]);
    output[at] = to_quad(own + value);
  } else {
    output[at] = to_quad(value);
  }
}

// Returns the input neighbor on the side where an output voxel lies, itself at the border.
fn neighbor(at: u32, size: u32) -> u32 {
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
  let slab = params.input;
  let position = quad_position(params.output, slab.row_quads, at);
  let quad = position.x;
  let j = position.y;
  let k = position.z;
  if (k >= params.output.end_plane) {
    return;
  }
  let c = group.y;
  let far_j = neighbor(j, slab.dims.y);
  let far_k = neighbor(k, slab.dims.z);
  let near_k = k / 2u;
  let near_j = j / 2u;
  let near = blend(
    fetch_six_clamped(c, near_k, near_j, quad),
    fetch_six_clamped(c, near_k, far_j, quad),
  );
  let far = blend(
    fetch_six_clamped(c, far_k, near_j, quad),
    fetch_six_clamped(c, far_k, far_j, quad),
  );
  let x = blend(near, far);
  let lower = vec4(x.left, x.middle.xyz);
  let upper = vec4(x.middle.yzw, x.right);
  let even = 0.75 * x.middle + 0.25 * lower;
  let odd = 0.75 * x.middle + 0.25 * upper;
  store(c, k, j, 2u * quad, vec4(even.x, odd.x, even.y, odd.y));
  store(c, k, j, 2u * quad + 1u, vec4(even.z, odd.z, even.w, odd.w));
}
