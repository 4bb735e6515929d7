// Room for what lanes have found (join_eight.wgsl).

var<workgroup> lanes: array<vec2<f32>, 512>;

fn put_lane(at: u32, found: vec2<f32>) {
  lanes[at] = found;
}

fn lane_at(at: u32) -> vec2<f32> {
  return lanes[at];
}
