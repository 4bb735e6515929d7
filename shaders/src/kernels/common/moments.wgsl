// Moments of values, merged by the formula of Chan, Golub and LeVeque (1979).

struct Moments {
  count: f32,
  mean: f32,
  squares: f32, // sum of squared deviations from the mean
  unused: f32,
}

fn merge_moments(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  if (count == 0.0) {
    return a;
  }
  let delta = b.mean - a.mean;
  let share = b.count / count;
  let squares = a.squares + b.squares + delta * delta * a.count * share;
  return Moments(count, a.mean + delta * share, squares, 0.0);
}

// Moments in progress, as sums of deviations from the first value, so that a large mean cancels
// nothing.
struct RunningMoments {
  count: f32,
  pivot: f32,
  sum: vec4<f32>,
  squares: vec4<f32>,
}

// Adds the first num_valid of four values.
fn add_quad(c: RunningMoments, x: vec4<f32>, num_valid: u32) -> RunningMoments {
  let pivot = select(c.pivot, x.x, c.count == 0.0);
  let valid = vec4(0u, 1u, 2u, 3u) < vec4(num_valid);
  let d = select(vec4(0.0), x - pivot, valid);
  return RunningMoments(c.count + f32(min(num_valid, 4u)), pivot, c.sum + d, c.squares + d * d);
}

fn finish_moments(c: RunningMoments) -> Moments {
  if (c.count == 0.0) {
    return Moments(0.0, 0.0, 0.0, 0.0);
  }
  let sum = dot(c.sum, vec4(1.0));
  let mean = sum / c.count;
  return Moments(c.count, c.pivot + mean, max(dot(c.squares, vec4(1.0)) - sum * mean, 0.0), 0.0);
}

const WORKGROUP_SIZE: u32 = 64u;

var<workgroup> shared_moments: array<Moments, WORKGROUP_SIZE>;
