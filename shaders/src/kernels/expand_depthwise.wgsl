// The first half of an inverted bottleneck at once: 1³ expansion, norm, activation, depthwise 3³
// convolution. What is expanded stays in the workgroup. It walks SEGMENT planes along k, of which it
// expands a tile and its border at a time, eight channels of it; an invocation keeps the sums of three
// output planes of its quad in each channel.

struct Params {
  window: Window, // of the block's input; the output's slab is the same
  num_from: u32,
  num_to: u32, // expanded channels
  to_channel: u32,
  expanded_affine: u32, // of the first expanded channel
  first_block: u32, // of eight expanded channels
  first_segment: u32,
  chunks: u32, // of moments of one channel, one a workgroup, in all slabs
  first_chunk: u32, // of this slab
}

const SEGMENT: u32 = 16u;

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [block of eight]: [input][eight channels], then [channel][k, j of the kernel] as for a
// depthwise convolution
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> partials: array<Moments>; // [channel][chunk]

override IS_COUNTED: bool; // the moments of what is written are taken on the way

fn write(channel: u32, at: u32, x: vec4<f32>) {
  if (channel < params.num_to) {
    let w = params.window;
    output[(params.to_channel + channel) * w.planes * w.dims.y * w.quads + at] = packed(x);
  }
}

fn write_eight(channel: u32, at: u32, s: Eight) {
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
  let window = params.window;
  let block = params.first_block + group.x;
  let tiles = (window.quads + TILE - 1u) / TILE;
  let corner = vec2(group.y % tiles, group.y / tiles) * TILE;
  let quad = corner.x + local % TILE;
  let j = corner.y + local / TILE;
  let segment = params.first_segment + group.z;
  let start = segment * SEGMENT;
  let end = min(start + SEGMENT, window.planes);
  let is_inside = quad < window.quads && j < window.dims.y;
  let voxels = select(0u, window.dims.x - quad * 4u, is_inside);
  let valid = vec4(0u, 1u, 2u, 3u) < vec4(voxels);
  let w = (block * (params.num_from + 36u) + params.num_from) * 2u;
  let zeros = vec4(0.0);
  let none = Sums(zeros, zeros, zeros);
  var all = Channels(none, none, none, none, none, none, none, none);
  var found = found_nothing();
  for (var plane = start; plane < end + 2u; plane++) {
    let k = window.first + plane - 1u;
    if (k < window.dims.z) {
      expand(block, corner, k, local);
      workgroupBarrier();
      all = with_planes(all, local, w);
      workgroupBarrier();
    }
    // Of the segment, no plane that only its border reads.
    if (plane >= start + 2u && is_inside) {
      let at = ((plane - 2u) * window.dims.y + j) * window.quads + quad;
      write_eight(block * 8u, at, below(all));
      found = with_quads(found, below(all), valid, plane == start + 2u);
    }
    all = all_next(all);
  }
  if (IS_COUNTED) {
    let count = f32(min(voxels, 4u) * (end - start));
    put_all_found(found, block * 8u, segment * groups.y + group.y, local, count);
  }
}
