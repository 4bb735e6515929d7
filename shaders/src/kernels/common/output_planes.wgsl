// The planes of a slab that a resampling operation writes.

struct OutputPlanes {
  dims: vec3<u32>, // voxels along i and j; planes of the slab
  row_quads: u32, // quads per row
  first_channel: u32, // of the view
  first_plane: u32, // of the slab
  start_plane: u32, // of the dispatch
  end_plane: u32,
}

@group(0) @binding(5) var<storage, read_write> output: array<Quad>;

// Returns the quad, row and plane of an invocation, for rows of row_quads quads.
fn quad_position(planes: OutputPlanes, row_quads: u32, at: u32) -> vec3<u32> {
  return vec3(
    at % row_quads,
    at / row_quads % planes.dims.y,
    planes.start_plane + at / row_quads / planes.dims.y,
  );
}

// Returns the index of a quad of the view's channel c.
fn output_index(planes: OutputPlanes, c: u32, k: u32, j: u32, quad: u32) -> u32 {
  let plane = (planes.first_channel + c) * planes.dims.z + k - planes.first_plane;
  return (plane * planes.dims.y + j) * planes.row_quads + quad;
}
