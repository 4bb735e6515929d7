// Depthwise 3³ convolution of a slab, zero padding 1. An invocation walks along k through PLANES
// planes, four voxels wide along i and ROWS rows high. It keeps the sums of three output planes, so
// that it reads each input row once.

struct Params {
  input: InputSlab, // the output has the same slabs
  output_channel: u32, // first of the view
  first_channel: u32, // of the dispatch, within the views
  chunks: u32, // of moments of one channel, of all slabs; a workgroup writes one
  first_chunk: u32, // of this slab
}

const PLANES: u32 = 8u;
const ROWS: u32 = 2u;

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [channel][k][j] of the taps, with the three taps along i in x, y, z
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> partials: array<Moments>; // [channel][chunk]

override WRITES_MOMENTS: bool; // also write moments of the output

// Returns the taps of one j, in three planes.
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
  let slab = params.input;
  let dims = slab.dims;
  let quads = slab.row_quads;
  let row_pairs = (dims.y + ROWS - 1u) / ROWS;
  let quad = at % quads;
  let j = at / quads % row_pairs * ROWS;
  let start = at / quads / row_pairs * PLANES;
  let end = min(start + PLANES, slab.planes);
  let channel = params.first_channel + group.y;
  let to = (params.output_channel + channel) * slab.planes;
  let w = channel * 9u;
  let low = taps(w);
  let level = taps(w + 1u);
  let high = taps(w + 2u);
  let zeros = vec4(0.0);
  var a = PlaneSums(zeros, zeros, zeros);
  var b = a;
  var moments = RunningMoments(0.0, 0.0, zeros, zeros);
  // No plane for an invocation beyond the slab.
  for (var plane = start; plane < select(0u, end + 2u, start < end); plane++) {
    let kk = slab.first_plane + plane - 1u;
    if (kk < dims.z) {
      let r0 = fetch_six_or_zeros(slab, channel, kk, j - 1u, quad);
      let r1 = fetch_six_or_zeros(slab, channel, kk, j, quad);
      let r2 = fetch_six_or_zeros(slab, channel, kk, j + 1u, quad);
      let r3 = fetch_six_or_zeros(slab, channel, kk, j + 2u, quad);
      a = add_row(add_row(add_row(a, r0, low), r1, level), r2, high);
      b = add_row(add_row(add_row(b, r1, low), r2, level), r3, high);
    }
    if (plane >= start + 2u) {
      let index = ((to + plane - 2u) * dims.y + j) * quads + quad;
      output[index] = to_quad(a.below);
      moments = add_quad(moments, a.below, dims.x - quad * 4u);
      if (j + 1u < dims.y) {
        output[index + quads] = to_quad(b.below);
        moments = add_quad(moments, b.below, dims.x - quad * 4u);
      }
    }
    a = PlaneSums(a.level, a.above, zeros);
    b = PlaneSums(b.level, b.above, zeros);
  }
  if (WRITES_MOMENTS) {
    reduce_moments(local, finish_moments(moments));
    if (local == 0u) {
      partials[channel * params.chunks + params.first_chunk + chunk] = shared_moments[0];
    }
  }
}
