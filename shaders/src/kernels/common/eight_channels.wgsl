// Eight output channels at four voxels.

struct EightChannels {
  a: vec4<f32>,
  b: vec4<f32>,
  c: vec4<f32>,
  d: vec4<f32>,
  e: vec4<f32>,
  f: vec4<f32>,
  g: vec4<f32>,
  h: vec4<f32>,
}

// Returns a value per channel, the same at all four voxels.
fn broadcast_eight(low: vec4<f32>, high: vec4<f32>) -> EightChannels {
  return EightChannels(
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

// Returns s + x · weight for the weights of eight channels.
fn add_products(
  s: EightChannels,
  x: vec4<f32>,
  low: vec4<f32>,
  high: vec4<f32>,
) -> EightChannels {
  return EightChannels(
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

// Stores eight channels; the kernel defines `store`.
fn store_eight(channel: u32, at: u32, s: EightChannels) {
  store(channel, at, s.a);
  store(channel + 1u, at, s.b);
  store(channel + 2u, at, s.c);
  store(channel + 3u, at, s.d);
  store(channel + 4u, at, s.e);
  store(channel + 5u, at, s.f);
  store(channel + 6u, at, s.g);
  store(channel + 7u, at, s.h);
}
