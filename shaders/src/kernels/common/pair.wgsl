// Means and products of deviations of two blocks of eight channels.

const LANES: u32 = 32u;

// Of two blocks of eight channels.
struct Pair {
  count: vec4<f32>, // in x
  mean: array<vec4<f32>, 4>, // of the first block's channels, then of the second's
  // Sums of products of deviations: [channel of the first][channels of the second]; divided by the
  // count where all chunks are joined.
  products: array<vec4<f32>, 16>,
}

var<workgroup> sums: array<Pair, LANES>;

// Sums up those of the workgroup's invocations in the first.
fn sum_workgroup(local: u32) {
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      sums[local].count += sums[local + half].count;
      for (var n = 0u; n < 4u; n++) {
        sums[local].mean[n] += sums[local + half].mean[n];
      }
      for (var n = 0u; n < 16u; n++) {
        sums[local].products[n] += sums[local + half].products[n];
      }
    }
  }
  workgroupBarrier();
}

var<workgroup> twos: array<vec2<f32>, LANES>;

// The sum of two values over the workgroup's invocations.
fn sum_of_two(local: u32, own: vec2<f32>) -> vec2<f32> {
  twos[local] = own;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      twos[local] += twos[local + half];
    }
  }
  workgroupBarrier();
  let sum = twos[0];
  workgroupBarrier();
  return sum;
}

// The number of a pair of blocks: (0, 0), (0, 1), …, (1, 1), (1, 2), ….
fn pair_of(blocks: u32, first: u32, second: u32) -> u32 {
  return first * blocks - first * (first + 1u) / 2u + second;
}
