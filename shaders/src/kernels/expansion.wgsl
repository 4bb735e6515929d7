// The affines of a norm of a 1³ convolution, from its input: the mean of a row of weights times the
// input is the row times the input's means, the variance the row times its covariance times the row.
// `combine` joins the chunks of all slabs, `norms` leaves the affines.

struct Params {
  num_from: u32, // input channels
  chunks: u32, // in all slabs
  group_channels: u32, // of the norm
  affine: u32, // of the norm's first channel: what is found is put there
  slope: f32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(5) var<storage, read_write> partials: array<Pair>; // [pair][chunk], then [pair]
// [channel of the norm][gamma, beta, weights]
@group(0) @binding(6) var<storage, read> weights: array<f32>;
@group(0) @binding(7) var<storage, read_write> affines: array<vec4<f32>>;

// Where the joined pair of two blocks lies.
fn joined(first: u32, second: u32) -> u32 {
  let blocks = (params.num_from + 7u) / 8u;
  return params.chunks * pair_of(blocks, blocks, blocks) + pair_of(blocks, first, second);
}

@compute @workgroup_size(32)
fn combine(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let start = group.x * params.chunks;
  sums[local] = Pair();
  for (var at = start + local; at < start + params.chunks; at += LANES) {
    sums[local].count += partials[at].count;
    for (var n = 0u; n < 4u; n++) {
      sums[local].mean[n] +=
        partials[at].count.x * (partials[at].mean[n] - partials[start].mean[n]);
    }
  }
  sum_workgroup(local);
  let total = sums[0].count.x;
  let shift = sums[0].mean;
  workgroupBarrier();
  var mean = partials[start].mean;
  for (var n = 0u; n < 4u; n++) {
    mean[n] += shift[n] / total;
  }
  sums[local] = Pair();
  for (var at = start + local; at < start + params.chunks; at += LANES) {
    for (var n = 0u; n < 16u; n++) {
      let own = partials[at].mean[n / 8u][n / 2u % 4u] - mean[n / 8u][n / 2u % 4u];
      let others = partials[at].mean[2u + n % 2u] - mean[2u + n % 2u];
      sums[local].products[n] +=
        (partials[at].products[n] + partials[at].count.x * own * others) / total;
    }
  }
  sum_workgroup(local);
  if (local == 0u) {
    partials[joined(0u, 0u) + group.x] = Pair(vec4(total, 0.0, 0.0, 0.0), mean, sums[0].products);
  }
}

fn mean_of(a: u32) -> f32 {
  return partials[joined(a / 8u, a / 8u)].mean[a / 4u % 2u][a % 4u];
}

fn covariance_of(a: u32, b: u32) -> f32 {
  let first = min(a, b);
  let second = max(a, b);
  let row = first % 8u * 2u + second / 4u % 2u;
  return partials[joined(first / 8u, second / 8u)].products[row][second % 4u];
}

@compute @workgroup_size(32)
fn norms(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let first = group.x * params.group_channels;
  var mean = 0.0;
  var variance = 0.0;
  for (var n = 0u; n < params.group_channels; n++) {
    let w = (first + n) * (params.num_from + 2u) + 2u;
    var own = vec2(0.0);
    for (var a = local; a < params.num_from; a += LANES) {
      var along = 0.0;
      for (var b = 0u; b < params.num_from; b++) {
        along += covariance_of(a, b) * weights[w + b];
      }
      own += weights[w + a] * vec2(mean_of(a), along);
    }
    let found = sum_of_two(local, own);
    let share = 1.0 / f32(n + 1u); // of the channels until now
    let delta = found.x - mean;
    mean += delta * share;
    variance += (max(found.y, 0.0) + delta * delta * f32(n) * share - variance) * share;
  }
  let scale = 1.0 / sqrt(variance + params.epsilon);
  for (var c = first + local; c < first + params.group_channels; c += LANES) {
    let w = c * (params.num_from + 2u);
    affines[params.affine + c] = vec4(mean, scale * weights[w], weights[w + 1u], params.slope);
  }
}
