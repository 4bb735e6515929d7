// A norm with its activation, applied by the kernel that reads the norm's input. An affine map is
// [mean, gamma / deviation, beta, factor of negative values], or [0, 1, 0, 1] without a norm.

fn apply_norm(x: vec4<f32>, affine: vec4<f32>) -> vec4<f32> {
  let y = (x - affine.x) * affine.y + affine.z;
  return max(y, vec4(0.0)) + affine.w * min(y, vec4(0.0));
}
