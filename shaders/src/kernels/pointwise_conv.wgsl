// 1³ convolution of a slab. An invocation computes four voxels in two blocks of eight output
// channels, so that it reads each input value once for all of them. All invocations of a workgroup
// read the same weights.

struct Params {
  stride: u32, // quads of one channel of the slab
  input_offset: u32, // quads before the view
  output_offset: u32,
  affine: u32, // index for the first input channel
  in_channels: u32,
  out_channels: u32,
  first_block: u32, // of eight output channels; even
  adds_to_output: u32, // 1: adds to the output, without the bias
  row_voxels: u32, // voxels per row; the rest of its last quad is padding
  row_quads: u32, // quads per row
  chunks: u32, // of moments of one channel, of all slabs; a workgroup of `with_moments` writes one
  first_chunk: u32, // of this slab
}

// The slab has fewer quads than a workgroup has invocations, so a workgroup computes several pairs
// of blocks.
override IS_SMALL: bool;

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [block][bias, then input channels][output channel of the block]
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> partials: array<Moments>; // [channel][chunk]

fn store(channel: u32, at: u32, value: vec4<f32>) {
  if (channel >= params.out_channels) {
    return;
  }
  let index = params.output_offset + channel * params.stride + at;
  if (params.adds_to_output == 1u) {
    output[index] = to_quad(to_f32(output[index]) + value);
  } else {
    output[index] = to_quad(value);
  }
}

fn write(block: u32, at: u32, s: TwoBlocks) {
  store_eight(block * 8u, at, s.a);
  if (block * 8u + 8u < params.out_channels) {
    store_eight(block * 8u + 8u, at, s.b);
  }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  var at = (group.z * groups.x + group.x) * WORKGROUP_SIZE + local;
  var block = params.first_block + 2u * group.y;
  if (IS_SMALL) {
    block += 2u * (at / params.stride);
    at %= params.stride;
  }
  if (at >= params.stride || block * 8u >= params.out_channels) {
    return;
  }
  write(block, at, convolve_two_blocks(block, at));
}

const QUADS_PER_INVOCATION: u32 = 8u; // in `with_moments`, WORKGROUP_SIZE apart

// Like `main`, and also writes moments of the output.
@compute @workgroup_size(64)
fn with_moments(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let chunk = group.z * groups.x + group.x;
  let block = params.first_block + 2u * group.y;
  var moments = array(zero_shifted_sums(), zero_shifted_sums());
  var count = 0u;
  for (var n = 0u; n < QUADS_PER_INVOCATION; n++) {
    let at = (chunk * QUADS_PER_INVOCATION + n) * WORKGROUP_SIZE + local;
    if (at < params.stride) {
      let s = convolve_two_blocks(block, at);
      write(block, at, s);
      let voxels = params.row_voxels - at % params.row_quads * 4u;
      let valid = vec4(0u, 1u, 2u, 3u) < vec4(voxels);
      moments[0] = add_quads_to_sums(moments[0], s.a, valid, n == 0u);
      moments[1] = add_quads_to_sums(moments[1], s.b, valid, n == 0u);
      count += min(voxels, 4u);
    }
  }
  write_eight_moments(moments[0], block * 8u, chunk, local, f32(count));
  write_eight_moments(moments[1], block * 8u + 8u, chunk, local, f32(count));
}
