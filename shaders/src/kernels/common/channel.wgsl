// Eight channels of a depthwise convolution on its way along k: of each the sums of three planes.

struct Channels {
  a: Sums,
  b: Sums,
  c: Sums,
  d: Sums,
  e: Sums,
  f: Sums,
  g: Sums,
  h: Sums,
}

fn row_of(at: u32) -> Six {
  return Six(expanded[at].w, expanded[at + 1u], expanded[at + 2u].x);
}

// With a plane; w is where the channel's taps begin.
fn with_plane(sums: Sums, n: u32, local: u32, w: u32) -> Sums {
  let at = n * AREA + local / TILE * SPAN + local % TILE;
  var s = sums;
  for (var r = 0u; r < 3u; r++) {
    let taps = Taps(weights[w + r], weights[w + 3u + r], weights[w + 6u + r]);
    s = plus_row(s, row_of(at + r * SPAN), taps);
  }
  return s;
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

// The lowest plane, which is complete.
fn below(c: Channels) -> Eight {
  return Eight(
    c.a.below,
    c.b.below,
    c.c.below,
    c.d.below,
    c.e.below,
    c.f.below,
    c.g.below,
    c.h.below,
  );
}

fn next(s: Sums) -> Sums {
  return Sums(s.level, s.above, vec4(0.0));
}

// On to the next plane.
fn all_next(c: Channels) -> Channels {
  return Channels(
    next(c.a),
    next(c.b),
    next(c.c),
    next(c.d),
    next(c.e),
    next(c.f),
    next(c.g),
    next(c.h),
  );
}
