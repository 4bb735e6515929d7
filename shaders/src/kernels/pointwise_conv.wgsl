// 1³ convolution of a slab. An invocation computes four voxels of two blocks of eight output channels:
// an input value is read once for all of them, and the weights are the same for the whole workgroup.

struct Params {
  stride: u32, // quads of one channel of the slab
  from_offset: u32, // quads before the view
  to_offset: u32,
  affine: u32, // of the first input channel
  num_from: u32,
  num_to: u32,
  first_block: u32, // of eight output channels; even
  is_more: u32, // 1: added to what is there, without the bias
  row: u32, // voxels of a row; lanes beyond it count for nothing
  quads: u32, // of a row
  chunks: u32, // of moments of one channel, one a workgroup, in all slabs; where they are taken
  first_chunk: u32, // of this slab
}

override IS_SMALL: bool; // a slab of fewer quads than a workgroup, of which one takes several

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [block of eight outputs][bias, inputs][eight outputs]
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> partials: array<Moments>; // [channel][chunk]

fn store(channel: u32, at: u32, value: vec4<f32>) {
  if (channel >= params.num_to) {
    return;
  }
  let place = params.to_offset + channel * params.stride + at;
  if (params.is_more == 1u) {
    output[place] = packed(unpacked(output[place]) + value);
  } else {
    output[place] = packed(value);
  }
}

fn write(block: u32, at: u32, s: Blocks) {
  store_eight(block * 8u, at, s.a);
  if (block * 8u + 8u < params.num_to) {
    store_eight(block * 8u + 8u, at, s.b);
  }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  var at = (group.z * groups.x + group.x) * LANES + local;
  var block = params.first_block + 2u * group.y;
  if (IS_SMALL) {
    block += 2u * (at / params.stride);
    at %= params.stride;
  }
  if (at >= params.stride || block * 8u >= params.num_to) {
    return;
  }
  write(block, at, convolved(block, at));
}

const RUN: u32 = 8u; // quads of an invocation that counts, LANES apart

// The same, and the moments of what is written on the way.
@compute @workgroup_size(64)
fn counted(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let chunk = group.z * groups.x + group.x;
  let block = params.first_block + 2u * group.y;
  var found = array(found_nothing(), found_nothing());
  var count = 0u;
  for (var n = 0u; n < RUN; n++) {
    let at = (chunk * RUN + n) * LANES + local;
    if (at < params.stride) {
      let s = convolved(block, at);
      write(block, at, s);
      let voxels = params.row - at % params.quads * 4u;
      let valid = vec4(0u, 1u, 2u, 3u) < vec4(voxels);
      found[0] = with_quads(found[0], s.a, valid, n == 0u);
      found[1] = with_quads(found[1], s.b, valid, n == 0u);
      count += min(voxels, 4u);
    }
  }
  put_all_found(found[0], block * 8u, chunk, local, f32(count));
  put_all_found(found[1], block * 8u + 8u, chunk, local, f32(count));
}
