// Feature maps in f16, two voxels per u32, for hardware without native f16.

alias Quad = vec2<u32>; // four voxels along i

fn to_f32(quad: Quad) -> vec4<f32> {
  return vec4(unpack2x16float(quad.x), unpack2x16float(quad.y));
}

fn to_quad(values: vec4<f32>) -> Quad {
  let inside = clamp(values, vec4(-65504.0), vec4(65504.0));
  return vec2(pack2x16float(inside.xy), pack2x16float(inside.zw));
}
