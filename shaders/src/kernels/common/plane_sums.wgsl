// One input plane's share of three output planes of a 3³ convolution.

// One row of taps in each of the three planes of the convolution's kernel.
struct Taps {
  near: vec4<f32>,
  middle: vec4<f32>,
  far: vec4<f32>,
}

// Sums of the output planes below, at and above the input plane.
struct PlaneSums {
  below: vec4<f32>,
  level: vec4<f32>,
  above: vec4<f32>,
}

// Adds the products of an input row and its taps.
fn add_row(s: PlaneSums, row: SixVoxels, t: Taps) -> PlaneSums {
  let x0 = vec4(row.left, row.middle.xyz);
  let x1 = row.middle;
  let x2 = vec4(row.middle.yzw, row.right);
  return PlaneSums(
    s.below + x0 * t.far.x + x1 * t.far.y + x2 * t.far.z,
    s.level + x0 * t.middle.x + x1 * t.middle.y + x2 * t.middle.z,
    s.above + x0 * t.near.x + x1 * t.near.y + x2 * t.near.z,
  );
}
