// Moments of eight channels, joined of a workgroup's lanes: what a lane has found of each is put before
// by `put_lane` and read by `lane_at`, [channel of eight][lane]: mean, and sum of squared deviations.

var<workgroup> counts: array<f32, LANES>; // a lane's voxels, as many in each channel

// Writes those of the channels from `first` on; what was put may be overwritten then.
fn join_eight(first: u32, chunk: u32, local: u32, count: f32) {
  counts[local] = count;
  workgroupBarrier();
  // Eight lanes a channel, of eight lanes each.
  let part = local % 8u * 8u;
  let at = local / 8u * LANES + part;
  var all = 0.0;
  var sum = 0.0;
  for (var n = 0u; n < 8u; n++) {
    all += counts[part + n];
    sum += counts[part + n] * lane_at(at + n).x;
  }
  let mean = sum / max(all, 1.0);
  var squares = 0.0;
  for (var n = 0u; n < 8u; n++) {
    let d = lane_at(at + n).x - mean;
    squares += lane_at(at + n).y + counts[part + n] * d * d;
  }
  shared_moments[local] = Moments(all, mean, squares, 0.0);
  for (var half = 4u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local % 8u < half) {
      shared_moments[local] = join(shared_moments[local], shared_moments[local + half]);
    }
  }
  let channel = first + local / 8u;
  if (local % 8u == 0u && channel < params.num_to) {
    partials[channel * params.chunks + params.first_chunk + chunk] = shared_moments[local];
  }
  workgroupBarrier();
}
