// Sums of three output planes in eight channels, for a depthwise convolution that walks along k.

struct EightPlaneSums {
  a: PlaneSums,
  b: PlaneSums,
  c: PlaneSums,
  d: PlaneSums,
  e: PlaneSums,
  f: PlaneSums,
  g: PlaneSums,
  h: PlaneSums,
}

// Returns the second expanded quad from `at` on, with the voxels beside it.
fn expanded_row(at: u32) -> SixVoxels {
  return SixVoxels(expanded[at].w, expanded[at + 1u], expanded[at + 2u].x);
}

// Adds a plane to the sums of channel n, whose taps begin at weights[w].
fn add_plane(sums: PlaneSums, n: u32, local: u32, w: u32) -> PlaneSums {
  let at = n * PADDED_AREA + local / TILE * PADDED_TILE + local % TILE;
  var s = sums;
  for (var r = 0u; r < 3u; r++) {
    let taps = Taps(weights[w + r], weights[w + 3u + r], weights[w + 6u + r]);
    s = add_row(s, expanded_row(at + r * PADDED_TILE), taps);
  }
  return s;
}

// Adds a plane to the sums of all channels, whose taps begin at weights[w].
fn add_plane_to_eight(s: EightPlaneSums, local: u32, w: u32) -> EightPlaneSums {
  return EightPlaneSums(
    add_plane(s.a, 0u, local, w),
    add_plane(s.b, 1u, local, w + 9u),
    add_plane(s.c, 2u, local, w + 18u),
    add_plane(s.d, 3u, local, w + 27u),
    add_plane(s.e, 4u, local, w + 36u),
    add_plane(s.f, 5u, local, w + 45u),
    add_plane(s.g, 6u, local, w + 54u),
    add_plane(s.h, 7u, local, w + 63u),
  );
}

// Returns the lowest planes, which are complete.
fn lowest_planes(s: EightPlaneSums) -> EightChannels {
  return EightChannels(
    s.a.below,
    s.b.below,
    s.c.below,
    s.d.below,
    s.e.below,
    s.f.below,
    s.g.below,
    s.h.below,
  );
}

// Moves the sums to the next input plane: the lowest plane leaves, an empty plane enters above.
fn shift_planes(s: PlaneSums) -> PlaneSums {
  return PlaneSums(s.level, s.above, vec4(0.0));
}

fn shift_eight(s: EightPlaneSums) -> EightPlaneSums {
  return EightPlaneSums(
    shift_planes(s.a),
    shift_planes(s.b),
    shift_planes(s.c),
    shift_planes(s.d),
    shift_planes(s.e),
    shift_planes(s.f),
    shift_planes(s.g),
    shift_planes(s.h),
  );
}
