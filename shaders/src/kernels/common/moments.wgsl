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
