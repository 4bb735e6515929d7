// Depthwise 3³ convolution, zero padding 1, of a slab. An invocation walks a column of PLANES planes
// along k, four voxels wide along i and ROWS rows high, keeping the sums of three planes: an input row
// is read once for all the output it touches.

struct Params {
  window: Window, // of the input; the output's slab is the same
  to_channel: u32,
  first_channel: u32, // of the dispatch, within the views
  chunks: u32, // of moments of one channel, one a workgroup, in all slabs
  first_chunk: u32, // of this slab
}

const PLANES: u32 = 8u;
const ROWS: u32 = 2u;

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [channel][k, j of the kernel], the three taps along i in x, y, z
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> partials: array<Moments>; // [channel][chunk]

override IS_COUNTED: bool; // the moments of what is written are taken on the way

fn taps(w: u32) -> Taps {
  return Taps(weights[w], weights[w + 3u], weights[w + 6u]);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let chunk = group.z * groups.x + group.x;
  let at = chunk * 64u + local;
  let window = params.window;
  let dims = window.dims;
  let quads = window.quads;
  let pairs = (dims.y + ROWS - 1u) / ROWS;
  let quad = at % quads;
  let j = at / quads % pairs * ROWS;
  let start = at / quads / pairs * PLANES;
  let end = min(start + PLANES, window.planes);
  let channel = params.first_channel + group.y;
  let to = (params.to_channel + channel) * window.planes;
  let w = channel * 9u;
  let low = taps(w);
  let level = taps(w + 1u);
  let high = taps(w + 2u);
  let zeros = vec4(0.0);
  var a = Sums(zeros, zeros, zeros);
  var b = a;
  var counted = Counted(0.0, 0.0, zeros, zeros);
  // None for what lies beyond the slab.
  for (var plane = start; plane < select(0u, end + 2u, start < end); plane++) {
    let kk = window.first + plane - 1u;
    if (kk < dims.z) {
      let r0 = fetch_or_zeros(window, channel, kk, j - 1u, quad);
      let r1 = fetch_or_zeros(window, channel, kk, j, quad);
      let r2 = fetch_or_zeros(window, channel, kk, j + 1u, quad);
      let r3 = fetch_or_zeros(window, channel, kk, j + 2u, quad);
      a = plus_row(plus_row(plus_row(a, r0, low), r1, level), r2, high);
      b = plus_row(plus_row(plus_row(b, r1, low), r2, level), r3, high);
    }
    if (plane >= start + 2u) {
      let place = ((to + plane - 2u) * dims.y + j) * quads + quad;
      output[place] = packed(a.below);
      counted = with_quad(counted, a.below, dims.x - quad * 4u);
      if (j + 1u < dims.y) {
        output[place + quads] = packed(b.below);
        counted = with_quad(counted, b.below, dims.x - quad * 4u);
      }
    }
    a = Sums(a.level, a.above, zeros);
    b = Sums(b.level, b.above, zeros);
  }
  if (IS_COUNTED) {
    join_workgroup(local, moments_of(counted));
    if (local == 0u) {
      partials[channel * params.chunks + params.first_chunk + chunk] = shared_moments[0];
    }
  }
}
