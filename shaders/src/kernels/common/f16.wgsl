// Maps in f16, on hardware that has it.

enable f16;

alias Quad = vec4<f16>; // four voxels along i

fn unpacked(quad: Quad) -> vec4<f32> {
  return vec4<f32>(quad);
}

fn packed(values: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(values, vec4(-65504.0), vec4(65504.0)));
}
