// Means of two blocks of eight channels, and products of their deviations.

const WORKGROUP_SIZE: u32 = 32u;

// The statistics of two blocks of eight channels.
struct BlockPair {
  count: vec4<f32>, // in x
  mean: array<vec4<f32>, 4>, // of the first block's channels, then of the second block's
  // Sums of products of deviations, [channel of the first][channel of the second]. Divided by the
  // count once all chunks are merged.
  products: array<vec4<f32>, 16>,
}

var<workgroup> pair_sums: array<BlockPair, WORKGROUP_SIZE>;

// Adds up the workgroup's statistics. Leaves the result in pair_sums[0].
fn reduce_pair_sums(local: u32) {
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      pair_sums[local].count += pair_sums[local + half].count;
      for (var n = 0u; n < 4u; n++) {
        pair_sums[local].mean[n] += pair_sums[local + half].mean[n];
      }
      for (var n = 0u; n < 16u; n++) {
        pair_sums[local].products[n] += pair_sums[local + half].products[n];
      }
    }
  }
  workgroupBarrier();
}

var<workgroup> vec2_sums: array<vec2<f32>, WORKGROUP_SIZE>;

// Returns the sum over the workgroup's invocations.
fn reduce_vec2(local: u32, own: vec2<f32>) -> vec2<f32> {
  vec2_sums[local] = own;
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      vec2_sums[local] += vec2_sums[local + half];
    }
  }
  workgroupBarrier();
  let sum = vec2_sums[0];
  workgroupBarrier();
  return sum;
}

// Returns the index of a pair of blocks in (0, 0), (0, 1), …, (1, 1), (1, 2), ….
fn pair_index(blocks: u32, first: u32, second: u32) -> u32 {
  return first * blocks - first * (first + 1u) / 2u + second;
}
