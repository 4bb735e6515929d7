// Feature maps in f32.

alias Quad = vec4<f32>; // four voxels along i

fn to_f32(quad: Quad) -> vec4<f32> {
  return quad;
}

fn to_quad(values: vec4<f32>) -> Quad {
  return values;
}
