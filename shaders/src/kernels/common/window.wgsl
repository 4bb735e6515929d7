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

// Four voxels of the view's channel c, normed.
fn fetch(w: Window, c: u32, k: u32, j: u32, quad: u32) -> vec4<f32> {
  let row = w.dims.y * w.quads;
  let place = j * w.quads + quad;
  let channel = w.channel + c;
  var x: Quad;
  if (k < w.first) {
    x = before[(channel * w.before + k + w.before - w.first) * row + place];
  } else if (k - w.first < w.planes) {
    x = here[(channel * w.planes + k - w.first) * row + place];
  } else {
    x = after[(channel * w.after + k - w.first - w.planes) * row + place];
  }
  return normed(unpacked(x), affines[w.affine + c]);
}

// The same with zeros outside of the map: before and after a row j, k of −1 as a u32 too.
fn fetch_padded(w: Window, c: u32, k: u32, j: u32, quad: u32) -> vec4<f32> {
  if (k >= w.dims.z || j >= w.dims.y || quad >= w.quads) {
    return vec4(0.0);
  }
  let voxels = vec4(quad * 4u) + vec4(0u, 1u, 2u, 3u);
  return select(vec4(0.0), fetch(w, c, k, j, quad), voxels < vec4(w.dims.x));
}
