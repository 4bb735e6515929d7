// Dense 3³ convolution of a slab, zero padding 1. An invocation computes four voxels along i, in
// two rows and eight output channels: 24 input values and 72 weights per input plane serve 576
// multiply-adds. All invocations of a workgroup read the same weights.

struct Params {
  input: InputSlab, // the output has the same slabs
  output_channel: u32, // first of the view
  in_channels: u32,
  out_channels: u32,
  first_block: u32, // of eight output channels
  start_plane: u32, // planes of the slab that the dispatch writes
  end_plane: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [block][input channel][tap][output channel of the block]
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;

fn store(channel: u32, at: u32, value: vec4<f32>) {
  if (channel < params.out_channels) {
    let slab = params.input;
    let stride = slab.planes * slab.dims.y * slab.row_quads;
    output[(params.output_channel + channel) * stride + at] = to_quad(value);
  }
}

// Sums of two output rows.
struct RowPair {
  a: EightChannels,
  b: EightChannels,
}

// Adds the products of an input row for each sum; the three taps begin at weights[w].
fn add_row_pair(s: RowPair, first: SixVoxels, second: SixVoxels, w: u32) -> RowPair {
  var low = weights[w];
  var high = weights[w + 1u];
  var a = add_products(s.a, vec4(first.left, first.middle.xyz), low, high);
  var b = add_products(s.b, vec4(second.left, second.middle.xyz), low, high);
  low = weights[w + 2u];
  high = weights[w + 3u];
  a = add_products(a, first.middle, low, high);
  b = add_products(b, second.middle, low, high);
  low = weights[w + 4u];
  high = weights[w + 5u];
  a = add_products(a, vec4(first.middle.yzw, first.right), low, high);
  b = add_products(b, vec4(second.middle.yzw, second.right), low, high);
  return RowPair(a, b);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let slab = params.input;
  let in_channels = params.in_channels;
  let quads = slab.row_quads;
  let pairs = (slab.dims.y + 1u) / 2u;
  let quad = at % quads;
  let j = at / quads % pairs * 2u;
  let plane = params.start_plane + at / quads / pairs;
  if (plane >= params.end_plane) {
    return;
  }
  let block = params.first_block + group.y;
  var w = block * in_channels * 54u;
  let zeros = broadcast_eight(vec4(0.0), vec4(0.0));
  var sums = RowPair(zeros, zeros);
  for (var c = 0u; c < in_channels; c++) {
    for (var tap = 0u; tap < 3u; tap++) {
      let k = slab.first_plane + plane + tap - 1u;
      if (k < slab.dims.z) {
        let above = fetch_six_or_zeros(slab, c, k, j - 1u, quad);
        let first = fetch_six_or_zeros(slab, c, k, j, quad);
        let second = fetch_six_or_zeros(slab, c, k, j + 1u, quad);
        let below = fetch_six_or_zeros(slab, c, k, j + 2u, quad);
        sums = add_row_pair(sums, above, first, w);
        sums = add_row_pair(sums, first, second, w + 6u);
        sums = add_row_pair(sums, second, below, w + 12u);
      }
      w += 18u;
    }
  }
  let index = (plane * slab.dims.y + j) * quads + quad;
  store_eight(block * 8u, index, sums.a);
  if (j + 1u < slab.dims.y) {
    store_eight(block * 8u, index + quads, sums.b);
  }
}
