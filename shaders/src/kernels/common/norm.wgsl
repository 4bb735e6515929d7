// A norm, with its activation, as what reads its input applies it: mean, 1/deviation · gamma, beta,
// and the factor of what is negative. Of a map without one: 0, 1, 0, 1.

fn normed(x: vec4<f32>, affine: vec4<f32>) -> vec4<f32> {
  let y = (x - affine.x) * affine.y + affine.z;
  return max(y, vec4(0.0)) + affine.w * min(y, vec4(0.0));
}
