// A map's slab and the slabs before and after it, of which a convolution reads the border.

struct Window {
  dims: vec3<u32>, // voxels of the map along i, j, k
  quads: u32, // of a row
  first: u32, // plane of the slab
  planes: u32, // of the slab
  before: u32, // planes of the slab before it
  after: u32, // planes of the slab after it
  channel: u32, // the view's first
  affine: u32, // of that channel
}

@group(0) @binding(1) var<storage, read> here: array<Quad>;
@group(0) @binding(2) var<storage, read> before: array<Quad>;
@group(0) @binding(3) var<storage, read> after: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;

override IS_ALONE: bool; // no slab is before or after

// Four voxels of the view's channel c, normed.
fn fetch(w: Window, c: u32, k: u32, j: u32, quad: u32) -> vec4<f32> {
  let row = w.dims.y * w.quads;
  let place = j * w.quads + quad;
  let channel = w.channel + c;
  var x: Quad;
  if (IS_ALONE || k - w.first < w.planes) {
    x = here[(channel * w.planes + k - w.first) * row + place];
  } else if (k < w.first) {
    x = before[(channel * w.before + k + w.before - w.first) * row + place];
  } else {
    x = after[(channel * w.after + k - w.first - w.planes) * row + place];
  }
  return normed(unpacked(x), affines[w.affine + c]);
}

// Four voxels of a row and the two beside them, normed, with zeros outside of it.
struct Six {
  left: f32,
  middle: vec4<f32>,
  right: f32,
}

fn six(w: Window, left: Quad, middle: Quad, right: Quad, affine: vec4<f32>, quad: u32) -> Six {
  let sides = normed(vec4(unpacked(left).w, unpacked(right).x, 0.0, 0.0), affine);
  let voxels = vec4(quad * 4u) + vec4(0u, 1u, 2u, 3u);
  let inside = normed(unpacked(middle), affine);
  return Six(
    select(0.0, sides.x, quad > 0u),
    select(vec4(0.0), inside, voxels < vec4(w.dims.x)),
    select(0.0, sides.y, quad * 4u + 4u < w.dims.x),
  );
}

fn fetch_six(w: Window, c: u32, k: u32, j: u32, quad: u32) -> Six {
  let plane = w.dims.y * w.quads;
  let row = j * w.quads;
  let at = vec3(max(quad, 1u) - 1u, quad, min(quad + 1u, w.quads - 1u)) + row;
  let affine = affines[w.affine + c];
  let channel = w.channel + c;
  if (IS_ALONE || k - w.first < w.planes) {
    let n = (channel * w.planes + k - w.first) * plane + at;
    return six(w, here[n.x], here[n.y], here[n.z], affine, quad);
  }
  if (k < w.first) {
    let n = (channel * w.before + k + w.before - w.first) * plane + at;
    return six(w, before[n.x], before[n.y], before[n.z], affine, quad);
  }
  let n = (channel * w.after + k - w.first - w.planes) * plane + at;
  return six(w, after[n.x], after[n.y], after[n.z], affine, quad);
}

// The same, with zeros for a row outside of the map.
fn fetch_or_zeros(w: Window, c: u32, k: u32, j: u32, quad: u32) -> Six {
  if (j < w.dims.y) {
    return fetch_six(w, c, k, j, quad);
  }
  return Six(0.0, vec4(0.0), 0.0);
}
