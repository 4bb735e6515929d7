// Channels' deviations from values near their means, so that a large mean cancels nothing.

// Four voxels of a channel; zeros where there is no such channel.
fn value(channel: u32, at: u32) -> vec4<f32> {
  if (channel >= params.num_from) {
    return vec4(0.0);
  }
  let x = unpacked(values[params.offset + channel * params.stride + at]);
  return normed(x, affines[params.affine + channel]);
}

// What a chunk's deviations are taken from, so that a large mean cancels nothing: the mean of a few
// voxels of it. The first of a quad is never beyond a row.
fn pivot(channel: u32, start: u32, end: u32) -> f32 {
  let step = (end - start) / 4u;
  var few = vec4(0.0);
  for (var n = 0u; n < 4u; n++) {
    few[n] = value(channel, start + n * step).x;
  }
  return dot(few, vec4(0.25));
}

fn pivots(channel: u32, start: u32, end: u32) -> vec4<f32> {
  return vec4(
    pivot(channel, start, end),
    pivot(channel + 1u, start, end),
    pivot(channel + 2u, start, end),
    pivot(channel + 3u, start, end),
  );
}

// Four channels' deviations, each in four voxels.
fn deviations(channel: u32, at: u32, pivot: vec4<f32>, valid: vec4<bool>) -> mat4x4<f32> {
  let none = vec4(0.0);
  return mat4x4(
    select(none, value(channel, at) - pivot.x, valid),
    select(none, value(channel + 1u, at) - pivot.y, valid),
    select(none, value(channel + 2u, at) - pivot.z, valid),
    select(none, value(channel + 3u, at) - pivot.w, valid),
  );
}
