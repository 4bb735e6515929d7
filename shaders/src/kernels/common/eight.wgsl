// Four voxels of eight output channels.

struct Eight {
  a: vec4<f32>,
  b: vec4<f32>,
  c: vec4<f32>,
  d: vec4<f32>,
  e: vec4<f32>,
  f: vec4<f32>,
  g: vec4<f32>,
  h: vec4<f32>,
}

// Eight values, each in four voxels.
fn spread(low: vec4<f32>, high: vec4<f32>) -> Eight {
  return Eight(
    vec4(low.x),
    vec4(low.y),
    vec4(low.z),
    vec4(low.w),
    vec4(high.x),
    vec4(high.y),
    vec4(high.z),
    vec4(high.w),
  );
}

// The sum with x by eight weights.
fn plus(s: Eight, x: vec4<f32>, low: vec4<f32>, high: vec4<f32>) -> Eight {
  return Eight(
    s.a + x * low.x,
    s.b + x * low.y,
    s.c + x * low.z,
    s.d + x * low.w,
    s.e + x * high.x,
    s.f + x * high.y,
    s.g + x * high.z,
    s.h + x * high.w,
  );
}

fn store_eight(channel: u32, at: u32, s: Eight) {
  store(channel, at, s.a);
  store(channel + 1u, at, s.b);
  store(channel + 2u, at, s.c);
  store(channel + 3u, at, s.d);
  store(channel + 4u, at, s.e);
  store(channel + 5u, at, s.f);
  store(channel + 6u, at, s.g);
  store(channel + 7u, at, s.h);
}
