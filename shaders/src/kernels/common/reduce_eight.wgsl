// Reduces the moments of eight channels over a workgroup. Before the reduction, each invocation
// stores its mean and sum of squared deviations by `put_invocation_moments`, [channel][invocation].

var<workgroup> counts: array<f32, WORKGROUP_SIZE>; // voxels per invocation and channel

// Reduces the moments and writes those of the channels from `first` on. The stored moments may be
// overwritten afterwards.
fn reduce_eight_moments(first: u32, chunk: u32, local: u32, count: f32) {
  counts[local] = count;
  workgroupBarrier();
  // Eight invocations reduce a channel. Each reads the moments of eight invocations.
  let start = local % 8u * 8u;
  let at = local / 8u * WORKGROUP_SIZE + start;
  var all = 0.0;
  var sum = 0.0;
  for (var n = 0u; n < 8u; n++) {
    all += counts[start + n];
    sum += counts[start + n] * invocation_moments_at(at + n).x;
  }
  let mean = sum / max(all, 1.0);
  var squares = 0.0;
  for (var n = 0u; n < 8u; n++) {
    let d = invocation_moments_at(at + n).x - mean;
    squares += invocation_moments_at(at + n).y + counts[start + n] * d * d;
  }
  shared_moments[local] = Moments(all, mean, squares, 0.0);
  for (var half = 4u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local % 8u < half) {
      shared_moments[local] = merge_moments(shared_moments[local], shared_moments[local + half]);
    }
  }
  let channel = first + local / 8u;
  if (local % 8u == 0u && channel < params.out_channels) {
    partials[channel * params.chunks + params.first_chunk + chunk] = shared_moments[local];
  }
  workgroupBarrier();
}
