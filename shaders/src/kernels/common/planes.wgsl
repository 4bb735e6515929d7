// What an operation between two sizes writes: some planes of a slab.

struct Planes {
  dims: vec3<u32>, // voxels along i, j; planes of the slab
  quads: u32, // of a row
  channel: u32, // the view's first
  first: u32, // plane of the slab
  start: u32, // plane of the dispatch
  end: u32,
}

@group(0) @binding(5) var<storage, read_write> output: array<Quad>;

// The quad, row and plane of an invocation, where rows have so many.
fn spot(to: Planes, quads: u32, at: u32) -> vec3<u32> {
  return vec3(at % quads, at / quads % to.dims.y, to.start + at / quads / to.dims.y);
}

// Where a quad of the view's channel c lies.
fn place(to: Planes, c: u32, k: u32, j: u32, quad: u32) -> u32 {
  return (((to.channel + c) * to.dims.z + k - to.first) * to.dims.y + j) * to.quads + quad;
}
