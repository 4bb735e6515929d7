// Deviations of channels from values near their means, so that a large mean cancels nothing.

// Loads four voxels of a channel, or zeros beyond the last channel.
fn load_channel(channel: u32, at: u32) -> vec4<f32> {
  if (channel >= params.in_channels) {
    return vec4(0.0);
  }
  let x = to_f32(values[params.offset + channel * params.stride + at]);
  return apply_norm(x, affines[params.affine + channel]);
}

// Returns the mean of a few voxels of a chunk, from which deviations are taken. The first voxel of
// a quad never lies in the padding.
fn pivot(channel: u32, start: u32, end: u32) -> f32 {
  let step = (end - start) / 4u;
  var few = vec4(0.0);
  for (var n = 0u; n < 4u; n++) {
    few[n] = load_channel(channel, start + n * step).x;
  }
  return dot(few, vec4(0.25));
}

// Returns the pivots of four channels.
fn pivots(channel: u32, start: u32, end: u32) -> vec4<f32> {
  return vec4(
    pivot(channel, start, end),
    pivot(channel + 1u, start, end),
    pivot(channel + 2u, start, end),
    pivot(channel + 3u, start, end),
  );
}

// Returns the deviations of four channels at four voxels, with zeros for invalid voxels.
fn deviations(channel: u32, at: u32, pivot: vec4<f32>, valid: vec4<bool>) -> mat4x4<f32> {
  let none = vec4(0.0);
  return mat4x4(
    select(none, load_channel(channel, at) - pivot.x, valid),
    select(none, load_channel(channel + 1u, at) - pivot.y, valid),
    select(none, load_channel(channel + 2u, at) - pivot.z, valid),
    select(none, load_channel(channel + 3u, at) - pivot.w, valid),
  );
}
