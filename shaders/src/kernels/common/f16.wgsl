// Feature maps in f16, for hardware with native f16.

enable f16;

alias Quad = vec4<f16>; // four voxels along i

fn to_f32(quad: Quad) -> vec4<f32> {
  return vec4<f32>(quad);
}

fn to_quad(values: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(values, vec4(-65504.0), vec4(65504.0)));
}
