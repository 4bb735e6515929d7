// Moments of a quad of each lane in eight channels.

fn put_quad(n: u32, local: u32, x: vec4<f32>, valid: vec4<f32>, share: vec4<f32>) {
  let mean = dot(x, share);
  let d = (x - mean) * valid;
  put_mean(n * LANES + local, vec2(mean, dot(d, d)));
}

fn put_moments(first: u32, chunk: u32, local: u32, s: Eight, valid: vec4<f32>) {
  let voxels = dot(valid, vec4(1.0));
  let share = valid / max(voxels, 1.0);
  put_quad(0u, local, s.a, valid, share);
  put_quad(1u, local, s.b, valid, share);
  put_quad(2u, local, s.c, valid, share);
  put_quad(3u, local, s.d, valid, share);
  put_quad(4u, local, s.e, valid, share);
  put_quad(5u, local, s.f, valid, share);
  put_quad(6u, local, s.g, valid, share);
  put_quad(7u, local, s.h, valid, share);
  join_eight(first, chunk, local, voxels);
}
