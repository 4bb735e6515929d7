// The first half of an inverted bottleneck in one kernel: 1³ expansion, norm, activation and
// depthwise 3³ convolution. The expanded values stay in workgroup memory. A workgroup walks along k
// through SEGMENT_PLANES planes and expands eight channels of a tile and its border at a time. An
// invocation keeps the sums of three output planes of its quad in each channel.

struct Params {
  input: InputSlab, // the output has the same slabs
  in_channels: u32,
  out_channels: u32, // expanded channels
  output_channel: u32, // first of the view
  expanded_affine: u32, // index for the first expanded channel
  first_block: u32, // of eight expanded channels
  first_segment: u32,
  chunks: u32, // of moments of one channel, of all slabs; a workgroup writes one
  first_chunk: u32, // of this slab
}

const SEGMENT_PLANES: u32 = 16u;

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [block]: [input channel][expanded channel], then [expanded channel][k][j] of the taps as for a
// depthwise convolution
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> partials: array<Moments>; // [channel][chunk]

override WRITES_MOMENTS: bool; // also write moments of the output

fn write(channel: u32, at: u32, x: vec4<f32>) {
  if (channel < params.out_channels) {
    let slab = params.input;
    let stride = slab.planes * slab.dims.y * slab.row_quads;
    output[(params.output_channel + channel) * stride + at] = to_quad(x);
  }
}

fn write_eight(channel: u32, at: u32, s: EightChannels) {
  write(channel, at, s.a);
  write(channel + 1u, at, s.b);
  write(channel + 2u, at, s.c);
  write(channel + 3u, at, s.d);
  write(channel + 4u, at, s.e);
  write(channel + 5u, at, s.f);
  write(channel + 6u, at, s.g);
  write(channel + 7u, at, s.h);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let slab = params.input;
  let block = params.first_block + group.x;
  let tiles = (slab.row_quads + TILE - 1u) / TILE;
  let corner = vec2(group.y % tiles, group.y / tiles) * TILE;
  let quad = corner.x + local % TILE;
  let j = corner.y + local / TILE;
  let segment = params.first_segment + group.z;
  let start = segment * SEGMENT_PLANES;
  let end = min(start + SEGMENT_PLANES, slab.planes);
  let is_inside = quad < slab.row_quads && j < slab.dims.y;
  let voxels = select(0u, slab.dims.x - quad * 4u, is_inside);
  let valid = vec4(0u, 1u, 2u, 3u) < vec4(voxels);
  let w = (block * (params.in_channels + 36u) + params.in_channels) * 2u;
  let zeros = vec4(0.0);
  let none = PlaneSums(zeros, zeros, zeros);
  var sums = EightPlaneSums(none, none, none, none, none, none, none, none);
  var moments = zero_shifted_sums();
  for (var plane = start; plane < end + 2u; plane++) {
    let k = slab.first_plane + plane - 1u;
    if (k < slab.dims.z) {
      expand_tile(block, corner, k, local);
      workgroupBarrier();
      sums = add_plane_to_eight(sums, local, w);
      workgroupBarrier();
    }
    // The segment itself, without the planes of its border.
    if (plane >= start + 2u && is_inside) {
      let at = ((plane - 2u) * slab.dims.y + j) * slab.row_quads + quad;
      write_eight(block * 8u, at, lowest_planes(sums));
      moments = add_quads_to_sums(moments, lowest_planes(sums), valid, plane == start + 2u);
    }
    sums = shift_eight(sums);
  }
  if (WRITES_MOMENTS) {
    let count = f32(min(voxels, 4u) * (end - start));
    write_eight_moments(moments, block * 8u, segment * groups.y + group.y, local, count);
  }
}
