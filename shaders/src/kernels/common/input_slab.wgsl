// A slab of a feature map, with the slabs before and after it, whose borders a convolution reads.

struct InputSlab {
  dims: vec3<u32>, // voxels of the feature map along i, j, k
  row_quads: u32, // quads per row
  first_plane: u32, // of the slab
  planes: u32, // of the slab
  planes_before: u32, // of the slab before it
  planes_after: u32, // of the slab after it
  first_channel: u32, // of the view
  affine: u32, // index for the first channel
}

@group(0) @binding(1) var<storage, read> here: array<Quad>;
@group(0) @binding(2) var<storage, read> before: array<Quad>;
@group(0) @binding(3) var<storage, read> after: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;

override IS_ONLY_SLAB: bool; // the feature map has only this slab

// Loads four voxels of the view's channel c, normalized.
fn fetch(slab: InputSlab, c: u32, k: u32, j: u32, quad: u32) -> vec4<f32> {
  let plane = slab.dims.y * slab.row_quads;
  let in_plane = j * slab.row_quads + quad;
  let channel = slab.first_channel + c;
  var x: Quad;
  if (IS_ONLY_SLAB || k - slab.first_plane < slab.planes) {
    x = here[(channel * slab.planes + k - slab.first_plane) * plane + in_plane];
  } else if (k < slab.first_plane) {
    let first = slab.first_plane - slab.planes_before;
    x = before[(channel * slab.planes_before + k - first) * plane + in_plane];
  } else {
    let first = slab.first_plane + slab.planes;
    x = after[(channel * slab.planes_after + k - first) * plane + in_plane];
  }
  return apply_norm(to_f32(x), affines[slab.affine + c]);
}

// Four voxels of a row and the two beside them.
struct SixVoxels {
  left: f32,
  middle: vec4<f32>,
  right: f32,
}

// Normalizes six voxels, with zeros outside the row.
fn six_voxels(
  slab: InputSlab,
  left: Quad,
  middle: Quad,
  right: Quad,
  affine: vec4<f32>,
  quad: u32,
) -> SixVoxels {
  let sides = apply_norm(vec4(to_f32(left).w, to_f32(right).x, 0.0, 0.0), affine);
  let voxels = vec4(quad * 4u) + vec4(0u, 1u, 2u, 3u);
  let inside = apply_norm(to_f32(middle), affine);
  return SixVoxels(
    select(0.0, sides.x, quad > 0u),
    select(vec4(0.0), inside, voxels < vec4(slab.dims.x)),
    select(0.0, sides.y, quad * 4u + 4u < slab.dims.x),
  );
}

// Loads four voxels and the two beside them, normalized, with zeros outside the row.
fn fetch_six(slab: InputSlab, c: u32, k: u32, j: u32, quad: u32) -> SixVoxels {
  let plane = slab.dims.y * slab.row_quads;
  let row = j * slab.row_quads;
  let at = vec3(max(quad, 1u) - 1u, quad, min(quad + 1u, slab.row_quads - 1u)) + row;
  let affine = affines[slab.affine + c];
  let channel = slab.first_channel + c;
  if (IS_ONLY_SLAB || k - slab.first_plane < slab.planes) {
    let n = (channel * slab.planes + k - slab.first_plane) * plane + at;
    return six_voxels(slab, here[n.x], here[n.y], here[n.z], affine, quad);
  }
  if (k < slab.first_plane) {
    let first = slab.first_plane - slab.planes_before;
    let n = (channel * slab.planes_before + k - first) * plane + at;
    return six_voxels(slab, before[n.x], before[n.y], before[n.z], affine, quad);
  }
  let first = slab.first_plane + slab.planes;
  let n = (channel * slab.planes_after + k - first) * plane + at;
  return six_voxels(slab, after[n.x], after[n.y], after[n.z], affine, quad);
}

// Like `fetch_six`, with zeros for a row outside the feature map.
fn fetch_six_or_zeros(slab: InputSlab, c: u32, k: u32, j: u32, quad: u32) -> SixVoxels {
  if (j < slab.dims.y) {
    return fetch_six(slab, c, k, j, quad);
  }
  return SixVoxels(0.0, vec4(0.0), 0.0);
}
