// Dense 3³ convolution, zero padding 1, of a slab. An invocation computes four voxels along i of two
// rows, of eight output channels: the 24 input values and 72 weights of a plane of the kernel serve 576
// multiply-adds, and the weights are the same for the whole workgroup.

struct Params {
  window: Window, // of the input; the output's slab is the same
  to_channel: u32,
  num_from: u32,
  num_to: u32,
  first_block: u32, // of eight output channels
  start: u32, // planes of the slab that are written
  end: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [block of eight outputs][input][tap][eight outputs]
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;

fn store(channel: u32, at: u32, value: vec4<f32>) {
  if (channel < params.num_to) {
    let w = params.window;
    let stride = w.planes * w.dims.y * w.quads;
    output[(params.to_channel + channel) * stride + at] = packed(value);
  }
}

// Sums of two rows.
struct Rows {
  a: Eight,
  b: Eight,
}

// The sums with a row each, by the three taps from w on.
fn plus_rows(s: Rows, first: Six, second: Six, w: u32) -> Rows {
  var low = weights[w];
  var high = weights[w + 1u];
  var a = plus(s.a, vec4(first.left, first.middle.xyz), low, high);
  var b = plus(s.b, vec4(second.left, second.middle.xyz), low, high);
  low = weights[w + 2u];
  high = weights[w + 3u];
  a = plus(a, first.middle, low, high);
  b = plus(b, second.middle, low, high);
  low = weights[w + 4u];
  high = weights[w + 5u];
  a = plus(a, vec4(first.middle.yzw, first.right), low, high);
  b = plus(b, vec4(second.middle.yzw, second.right), low, high);
  return Rows(a, b);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let window = params.window;
  let num_from = params.num_from;
  let quads = window.quads;
  let pairs = (window.dims.y + 1u) / 2u;
  let quad = at % quads;
  let j = at / quads % pairs * 2u;
  let plane = params.start + at / quads / pairs;
  if (plane >= params.end) {
    return;
  }
  let block = params.first_block + group.y;
  var w = block * num_from * 54u;
  let zeros = spread(vec4(0.0), vec4(0.0));
  var sums = Rows(zeros, zeros);
  for (var c = 0u; c < num_from; c++) {
    for (var tap = 0u; tap < 3u; tap++) {
      let k = window.first + plane + tap - 1u;
      if (k < window.dims.z) {
        let above = fetch_or_zeros(window, c, k, j - 1u, quad);
        let first = fetch_or_zeros(window, c, k, j, quad);
        let second = fetch_or_zeros(window, c, k, j + 1u, quad);
        let below = fetch_or_zeros(window, c, k, j + 2u, quad);
        sums = plus_rows(sums, above, first, w);
        sums = plus_rows(sums, first, second, w + 6u);
        sums = plus_rows(sums, second, below, w + 12u);
      }
      w += 18u;
    }
  }
  let place = (plane * window.dims.y + j) * quads + quad;
  store_eight(block * 8u, place, sums.a);
  if (j + 1u < window.dims.y) {
    store_eight(block * 8u, place + quads, sums.b);
  }
}
