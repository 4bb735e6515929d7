// Eight channels of a depthwise convolution on its way along k: of each the sums of three planes, and
// what was found of the values that were written, by their deviations from the first.

struct Channel {
  sums: Sums,
  pivot: f32,
  sum: f32,
  squares: f32,
}

struct Channels {
  a: Channel,
  b: Channel,
  c: Channel,
  d: Channel,
  e: Channel,
  f: Channel,
  g: Channel,
  h: Channel,
}

fn row_of(at: u32) -> Six {
  return Six(expanded[at].w, expanded[at + 1u], expanded[at + 2u].x);
}

// With a plane; w is where the channel's taps begin.
fn with_plane(c: Channel, n: u32, local: u32, w: u32) -> Channel {
  let at = n * AREA + local / TILE * SPAN + local % TILE;
  var s = c.sums;
  for (var r = 0u; r < 3u; r++) {
    let taps = Taps(weights[w + r], weights[w + 3u + r], weights[w + 6u + r]);
    s = plus_row(s, row_of(at + r * SPAN), taps);
  }
  return Channel(s, c.pivot, c.sum, c.squares);
}

// All with a plane.
fn with_planes(c: Channels, local: u32, w: u32) -> Channels {
  return Channels(
    with_plane(c.a, 0u, local, w),
    with_plane(c.b, 1u, local, w + 9u),
    with_plane(c.c, 2u, local, w + 18u),
    with_plane(c.d, 3u, local, w + 27u),
    with_plane(c.e, 4u, local, w + 36u),
    with_plane(c.f, 5u, local, w + 45u),
    with_plane(c.g, 6u, local, w + 54u),
    with_plane(c.h, 7u, local, w + 63u),
  );
}

// With four voxels of the lowest plane, which is complete, and on to the next plane.
fn next(c: Channel, valid: vec4<f32>, is_first: bool) -> Channel {
  let x = c.sums.below;
  let pivot = select(c.pivot, x.x, is_first);
  let d = (x - pivot) * valid;
  let sums = Sums(c.sums.level, c.sums.above, vec4(0.0));
  return Channel(sums, pivot, c.sum + dot(d, vec4(1.0)), c.squares + dot(d, d));
}

fn all_next(c: Channels, valid: vec4<f32>, is_first: bool) -> Channels {
  return Channels(
    next(c.a, valid, is_first),
    next(c.b, valid, is_first),
    next(c.c, valid, is_first),
    next(c.d, valid, is_first),
    next(c.e, valid, is_first),
    next(c.f, valid, is_first),
    next(c.g, valid, is_first),
    next(c.h, valid, is_first),
  );
}

// Puts mean and sum of squared deviations of so many values.
fn put_found(c: Channel, n: u32, local: u32, count: f32) {
  let mean = c.sum / max(count, 1.0);
  put_mean(n * LANES + local, vec2(c.pivot + mean, max(c.squares - c.sum * mean, 0.0)));
}
