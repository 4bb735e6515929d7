// Moments of the values that an invocation writes to eight channels, as sums of deviations from the
// first value, so that a large mean cancels nothing.

struct ShiftedSums {
  pivot: f32, // the first value
  sum: f32, // of deviations
  squares: f32, // sum of squared deviations
}

struct EightShiftedSums {
  a: ShiftedSums,
  b: ShiftedSums,
  c: ShiftedSums,
  d: ShiftedSums,
  e: ShiftedSums,
  f: ShiftedSums,
  g: ShiftedSums,
  h: ShiftedSums,
}

fn zero_shifted_sums() -> EightShiftedSums {
  let none = ShiftedSums(0.0, 0.0, 0.0);
  return EightShiftedSums(none, none, none, none, none, none, none, none);
}

// Adds the valid ones of four values. The first call sets the pivot.
fn add_quad_to_sums(
  f: ShiftedSums,
  x: vec4<f32>,
  valid: vec4<bool>,
  is_first: bool,
) -> ShiftedSums {
  let pivot = select(f.pivot, x.x, is_first);
  let d = select(vec4(0.0), x - pivot, valid);
  return ShiftedSums(pivot, f.sum + dot(d, vec4(1.0)), f.squares + dot(d, d));
}

// Adds a quad to the sums of all channels.
fn add_quads_to_sums(
  f: EightShiftedSums,
  s: EightChannels,
  valid: vec4<bool>,
  is_first: bool,
) -> EightShiftedSums {
  return EightShiftedSums(
    add_quad_to_sums(f.a, s.a, valid, is_first),
    add_quad_to_sums(f.b, s.b, valid, is_first),
    add_quad_to_sums(f.c, s.c, valid, is_first),
    add_quad_to_sums(f.d, s.d, valid, is_first),
    add_quad_to_sums(f.e, s.e, valid, is_first),
    add_quad_to_sums(f.f, s.f, valid, is_first),
    add_quad_to_sums(f.g, s.g, valid, is_first),
    add_quad_to_sums(f.h, s.h, valid, is_first),
  );
}

// Hands the moments of channel n to the reduction.
fn put_channel_moments(f: ShiftedSums, n: u32, local: u32, count: f32) {
  let mean = f.sum / max(count, 1.0);
  let moments = vec2(f.pivot + mean, max(f.squares - f.sum * mean, 0.0));
  put_invocation_moments(n * WORKGROUP_SIZE + local, moments);
}

// Reduces the moments over the workgroup and writes those of the channels from `first` on.
fn write_eight_moments(f: EightShiftedSums, first: u32, chunk: u32, local: u32, count: f32) {
  put_channel_moments(f.a, 0u, local, count);
  put_channel_moments(f.b, 1u, local, count);
  put_channel_moments(f.c, 2u, local, count);
  put_channel_moments(f.d, 3u, local, count);
  put_channel_moments(f.e, 4u, local, count);
  put_channel_moments(f.f, 5u, local, count);
  put_channel_moments(f.g, 6u, local, count);
  put_channel_moments(f.h, 7u, local, count);
  reduce_eight_moments(first, chunk, local, count);
}
