// Moments of some values, joined by Chan's formula.

struct Moments {
  count: f32,
  mean: f32,
  squares: f32, // sum of squared deviations from the mean
  unused: f32,
}

fn join(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  if (count == 0.0) {
    return a;
  }
  let delta = b.mean - a.mean;
  let share = b.count / count;
  let squares = a.squares + b.squares + delta * delta * a.count * share;
  return Moments(count, a.mean + delta * share, squares, 0.0);
}

// Values being counted, by their deviations from one of them, so that a large mean cancels nothing.
struct Counted {
  count: f32,
  pivot: f32,
  sum: vec4<f32>,
  squares: vec4<f32>,
}

// With the first so many of four values.
fn with_quad(c: Counted, x: vec4<f32>, lanes: u32) -> Counted {
  let pivot = select(c.pivot, x.x, c.count == 0.0);
  let valid = vec4(0u, 1u, 2u, 3u) < vec4(lanes);
  let d = select(vec4(0.0), x - pivot, valid);
  return Counted(c.count + f32(min(lanes, 4u)), pivot, c.sum + d, c.squares + d * d);
}

fn moments_of(c: Counted) -> Moments {
  if (c.count == 0.0) {
    return Moments(0.0, 0.0, 0.0, 0.0);
  }
  let sum = dot(c.sum, vec4(1.0));
  let mean = sum / c.count;
  return Moments(c.count, c.pivot + mean, max(dot(c.squares, vec4(1.0)) - sum * mean, 0.0), 0.0);
}

const LANES: u32 = 64u; // of a workgroup

var<workgroup> shared_moments: array<Moments, LANES>;
