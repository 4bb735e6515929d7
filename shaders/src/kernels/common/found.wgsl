// What an invocation finds of the values that it writes in eight channels, by their deviations from the
// first, so that a large mean cancels nothing.

struct Found {
  pivot: f32,
  sum: f32,
  squares: f32,
}

struct EightFound {
  a: Found,
  b: Found,
  c: Found,
  d: Found,
  e: Found,
  f: Found,
  g: Found,
  h: Found,
}

fn found_nothing() -> EightFound {
  let none = Found(0.0, 0.0, 0.0);
  return EightFound(none, none, none, none, none, none, none, none);
}

// With those of four values that are valid.
fn with_quad_of(f: Found, x: vec4<f32>, valid: vec4<bool>, is_first: bool) -> Found {
  let pivot = select(f.pivot, x.x, is_first);
  let d = select(vec4(0.0), x - pivot, valid);
  return Found(pivot, f.sum + dot(d, vec4(1.0)), f.squares + dot(d, d));
}

fn with_quads(f: EightFound, s: Eight, valid: vec4<bool>, is_first: bool) -> EightFound {
  return EightFound(
    with_quad_of(f.a, s.a, valid, is_first),
    with_quad_of(f.b, s.b, valid, is_first),
    with_quad_of(f.c, s.c, valid, is_first),
    with_quad_of(f.d, s.d, valid, is_first),
    with_quad_of(f.e, s.e, valid, is_first),
    with_quad_of(f.f, s.f, valid, is_first),
    with_quad_of(f.g, s.g, valid, is_first),
    with_quad_of(f.h, s.h, valid, is_first),
  );
}

fn put_found(f: Found, n: u32, local: u32, count: f32) {
  let mean = f.sum / max(count, 1.0);
  put_lane(n * LANES + local, vec2(f.pivot + mean, max(f.squares - f.sum * mean, 0.0)));
}

// Joins the workgroup's and writes those of the channels from `first` on.
fn put_all_found(f: EightFound, first: u32, chunk: u32, local: u32, count: f32) {
  put_found(f.a, 0u, local, count);
  put_found(f.b, 1u, local, count);
  put_found(f.c, 2u, local, count);
  put_found(f.d, 3u, local, count);
  put_found(f.e, 4u, local, count);
  put_found(f.f, 5u, local, count);
  put_found(f.g, 6u, local, count);
  put_found(f.h, 7u, local, count);
  join_eight(first, chunk, local, count);
}
