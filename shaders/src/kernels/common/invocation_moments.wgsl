// The mean and the sum of squared deviations of each invocation, for reduce_eight.wgsl.

var<workgroup> invocation_moments: array<vec2<f32>, 512>; // [channel][invocation]

fn put_invocation_moments(at: u32, values: vec2<f32>) {
  invocation_moments[at] = values;
}

fn invocation_moments_at(at: u32) -> vec2<f32> {
  return invocation_moments[at];
}
