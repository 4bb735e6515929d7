// Maps in f32.

alias Quad = vec4<f32>; // four voxels along i

fn unpacked(quad: Quad) -> vec4<f32> {
  return quad;
}

fn packed(values: vec4<f32>) -> Quad {
  return values;
}
