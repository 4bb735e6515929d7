// Means of channels and sums of products of their deviations, for the chunks of a slab. A workgroup
// computes one chunk for a pair of blocks of eight channels.

struct Params {
  stride: u32, // quads of one channel of the slab
  offset: u32, // quads before the view
  row_voxels: u32, // voxels per row; the rest of its last quad is padding
  row_quads: u32, // quads per row
  affine: u32, // index for the first channel
  in_channels: u32,
  chunks: u32, // of all slabs
  first_chunk: u32, // of this slab
  start_chunk: u32, // of the dispatch, within the slab
}

const CHUNK_QUADS: u32 = 2048u;

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> values: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> partials: array<BlockPair>; // [pair][chunk]

// Returns the two blocks of a pair.
fn pair_blocks(pair: u32) -> vec2<u32> {
  let blocks = (params.in_channels + 7u) / 8u;
  var first = 0u;
  while (pair_index(blocks, first + 1u, first + 1u) <= pair) {
    first++;
  }
  return vec2(first, pair - pair_index(blocks, first, 0u));
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let blocks = pair_blocks(group.x) * 8u;
  let chunk = params.start_chunk + group.y;
  let start = chunk * CHUNK_QUADS;
  let end = min(start + CHUNK_QUADS, params.stride);
  let ones = vec4(1.0);
  let pivots_a = pivots(blocks.x, start, end);
  let pivots_b = pivots(blocks.x + 4u, start, end);
  let pivots_c = pivots(blocks.y, start, end);
  let pivots_d = pivots(blocks.y + 4u, start, end);
  var count = 0.0;
  var a_sum = vec4(0.0);
  var b_sum = vec4(0.0);
  var c_sum = vec4(0.0);
  var d_sum = vec4(0.0);
  // Products of channels: a and b are the lower and the upper four channels of the first block,
  // c and d those of the second.
  var ac = mat4x4<f32>();
  var ad = mat4x4<f32>();
  var bc = mat4x4<f32>();
  var bd = mat4x4<f32>();
  for (var at = start + local; at < end; at += WORKGROUP_SIZE) {
    let voxels = vec4(at % params.row_quads * 4u) + vec4(0u, 1u, 2u, 3u);
    let valid = voxels < vec4(params.row_voxels);
    let c = deviations(blocks.y, at, pivots_c, valid);
    let d = deviations(blocks.y + 4u, at, pivots_d, valid);
    var a = c;
    var b = d;
    if (blocks.x != blocks.y) {
      a = deviations(blocks.x, at, pivots_a, valid);
      b = deviations(blocks.x + 4u, at, pivots_b, valid);
    }
    count += dot(select(vec4(0.0), ones, valid), ones);
    a_sum += ones * a;
    b_sum += ones * b;
    c_sum += ones * c;
    d_sum += ones * d;
    ac += mat4x4(a[0] * c, a[1] * c, a[2] * c, a[3] * c);
    ad += mat4x4(a[0] * d, a[1] * d, a[2] * d, a[3] * d);
    bc += mat4x4(b[0] * c, b[1] * c, b[2] * c, b[3] * c);
    bd += mat4x4(b[0] * d, b[1] * d, b[2] * d, b[3] * d);
  }
  pair_sums[local].count = vec4(count, 0.0, 0.0, 0.0);
  pair_sums[local].mean = array(a_sum, b_sum, c_sum, d_sum);
  pair_sums[local].products = array(
    ac[0], ad[0], ac[1], ad[1], ac[2], ad[2], ac[3], ad[3],
    bc[0], bd[0], bc[1], bd[1], bc[2], bd[2], bc[3], bd[3],
  );
  reduce_pair_sums(local);
  let index = group.x * params.chunks + params.first_chunk + chunk;
  let total = pair_sums[0].count.x;
  if (local < 16u) {
    // Shifts the deviations from the pivots to the means, for a channel of the first block and four
    // channels of the second.
    let own = pair_sums[0].mean[local / 8u][local / 2u % 4u];
    let others = pair_sums[0].mean[2u + local % 2u];
    partials[index].products[local] = pair_sums[0].products[local] - own * others / total;
  }
  if (local == 0u) {
    partials[index].count = pair_sums[0].count;
    let mean = pair_sums[0].mean;
    partials[index].mean = array(
      pivots_a + mean[0] / total,
      pivots_b + mean[1] / total,
      pivots_c + mean[2] / total,
      pivots_d + mean[3] / total,
    );
  }
}
