// Means of channels and products of their deviations, of a chunk of a slab: of two blocks of eight
// channels a workgroup.

struct Params {
  stride: u32, // quads of one channel of the slab
  offset: u32, // quads before the view
  row: u32, // voxels of a row; lanes beyond it count for nothing
  quads: u32, // of a row
  affine: u32, // of the first channel
  num_from: u32, // channels
  chunks: u32, // in all slabs
  first_chunk: u32, // of this slab
  start: u32, // the slab's chunk that the dispatch begins with
}

const CHUNK: u32 = 2048u; // quads

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> values: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> partials: array<Pair>; // [pair][chunk]

fn blocks_of(pair: u32) -> vec2<u32> {
  let blocks = (params.num_from + 7u) / 8u;
  var first = 0u;
  while (pair_of(blocks, first + 1u, first + 1u) <= pair) {
    first++;
  }
  return vec2(first, pair - pair_of(blocks, first, 0u));
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let blocks = blocks_of(group.x) * 8u;
  let chunk = params.start + group.y;
  let start = chunk * CHUNK;
  let end = min(start + CHUNK, params.stride);
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
  // Products of the first block's lower and upper half with those of the second.
  var ac = mat4x4<f32>();
  var ad = mat4x4<f32>();
  var bc = mat4x4<f32>();
  var bd = mat4x4<f32>();
  for (var at = start + local; at < end; at += LANES) {
    let voxels = vec4(at % params.quads * 4u) + vec4(0u, 1u, 2u, 3u);
    let valid = voxels < vec4(params.row);
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
  sums[local].count = vec4(count, 0.0, 0.0, 0.0);
  sums[local].mean = array(a_sum, b_sum, c_sum, d_sum);
  sums[local].products = array(
    ac[0], ad[0], ac[1], ad[1], ac[2], ad[2], ac[3], ad[3],
    bc[0], bd[0], bc[1], bd[1], bc[2], bd[2], bc[3], bd[3],
  );
  sum_workgroup(local);
  let place = group.x * params.chunks + params.first_chunk + chunk;
  let total = sums[0].count.x;
  if (local < 16u) {
    // About the means: of a channel of the first block, with four of the second.
    let own = sums[0].mean[local / 8u][local / 2u % 4u];
    let others = sums[0].mean[2u + local % 2u];
    partials[place].products[local] = sums[0].products[local] - own * others / total;
  }
  if (local == 0u) {
    partials[place].count = sums[0].count;
    let mean = sums[0].mean;
    partials[place].mean = array(
      pivots_a + mean[0] / total,
      pivots_b + mean[1] / total,
      pivots_c + mean[2] / total,
      pivots_d + mean[3] / total,
    );
  }
}
