// Affine maps of the norm after a 1³ convolution y = W x, from the means and the covariance C of
// the convolution's input x. For a row w of W the mean of y is w · mean(x), the variance is wᵀ C w.
// `combine` merges the chunks of all slabs, `norm_affines` writes the affine maps.

struct Params {
  in_channels: u32,
  chunks: u32, // of all slabs
  group_channels: u32, // of the norm
  affine: u32, // index for the norm's first channel
  slope: f32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
// [pair][chunk], then the merged statistics, [pair]
@group(0) @binding(5) var<storage, read_write> partials: array<BlockPair>;
// [channel of the norm]: gamma, beta, weights
@group(0) @binding(6) var<storage, read> weights: array<f32>;
@group(0) @binding(7) var<storage, read_write> affines: array<vec4<f32>>;

// Returns the index of the merged statistics of two blocks.
fn merged_pair_index(first: u32, second: u32) -> u32 {
  let blocks = (params.in_channels + 7u) / 8u;
  return params.chunks * pair_index(blocks, blocks, blocks) + pair_index(blocks, first, second);
}

@compute @workgroup_size(32)
fn combine(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let start = group.x * params.chunks;
  pair_sums[local] = BlockPair();
  for (var at = start + local; at < start + params.chunks; at += WORKGROUP_SIZE) {
    pair_sums[local].count += partials[at].count;
    for (var n = 0u; n < 4u; n++) {
      pair_sums[local].mean[n] +=
        partials[at].count.x * (partials[at].mean[n] - partials[start].mean[n]);
    }
  }
  reduce_pair_sums(local);
  let total = pair_sums[0].count.x;
  let shift = pair_sums[0].mean;
  workgroupBarrier();
  var mean = partials[start].mean;
  for (var n = 0u; n < 4u; n++) {
    mean[n] += shift[n] / total;
  }
  pair_sums[local] = BlockPair();
  for (var at = start + local; at < start + params.chunks; at += WORKGROUP_SIZE) {
    for (var n = 0u; n < 16u; n++) {
      let own = partials[at].mean[n / 8u][n / 2u % 4u] - mean[n / 8u][n / 2u % 4u];
      let others = partials[at].mean[2u + n % 2u] - mean[2u + n % 2u];
      pair_sums[local].products[n] +=
        (partials[at].products[n] + partials[at].count.x * own * others) / total;
    }
  }
  reduce_pair_sums(local);
  if (local == 0u) {
    let count = vec4(total, 0.0, 0.0, 0.0);
    let index = merged_pair_index(0u, 0u) + group.x;
    partials[index] = BlockPair(count, mean, pair_sums[0].products);
  }
}

fn channel_mean(a: u32) -> f32 {
  return partials[merged_pair_index(a / 8u, a / 8u)].mean[a / 4u % 2u][a % 4u];
}

fn covariance(a: u32, b: u32) -> f32 {
  let first = min(a, b);
  let second = max(a, b);
  let row = first % 8u * 2u + second / 4u % 2u;
  return partials[merged_pair_index(first / 8u, second / 8u)].products[row][second % 4u];
}

@compute @workgroup_size(32)
fn norm_affines(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let first = group.x * params.group_channels;
  var mean = 0.0;
  var variance = 0.0;
  for (var n = 0u; n < params.group_channels; n++) {
    let w = (first + n) * (params.in_channels + 2u) + 2u;
    var own = vec2(0.0);
    for (var a = local; a < params.in_channels; a += WORKGROUP_SIZE) {
      var product = 0.0;
      for (var b = 0u; b < params.in_channels; b++) {
        product += covariance(a, b) * weights[w + b];
      }
      own += weights[w + a] * vec2(channel_mean(a), product);
    }
    let mean_and_variance = reduce_vec2(local, own);
    let share = 1.0 / f32(n + 1u); // of this channel among those so far
    let delta = mean_and_variance.x - mean;
    mean += delta * share;
    variance += (max(mean_and_variance.y, 0.0) + delta * delta * f32(n) * share - variance) * share;
  }
  let scale = 1.0 / sqrt(variance + params.epsilon);
  for (var c = first + local; c < first + params.group_channels; c += WORKGROUP_SIZE) {
    let w = c * (params.in_channels + 2u);
    affines[params.affine + c] = vec4(mean, scale * weights[w], weights[w + 1u], params.slope);
  }
}
