// Affine maps of a norm, from the mean and the deviation of every group of channels. `partial`
// computes the moments of the chunks of a slab, `combine` merges the chunks of all slabs, and
// `whole_group` does both for a group of few voxels. Merging moments keeps f32 accurate for
// millions of voxels.

struct Params {
  stride: u32, // quads of one channel of the slab
  offset: u32, // quads before the view
  row_voxels: u32, // voxels per row; the rest of its last quad is padding
  row_quads: u32, // quads per row
  affine: u32, // index for the first channel
  group_channels: u32,
  chunks: u32, // of one channel, of all slabs
  first_chunk: u32, // of this slab
  first_channel: u32, // in gamma and beta
  slope: f32,
  epsilon: f32,
}

const CHUNK_QUADS: u32 = 2048u;

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> values: array<Quad>;
@group(0) @binding(5) var<storage, read_write> partials: array<Moments>; // [channel][chunk]
@group(0) @binding(6) var<storage, read> gamma_beta: array<vec2<f32>>; // [channel]
@group(0) @binding(7) var<storage, read_write> affines: array<vec4<f32>>;

// Returns the moments of every WORKGROUP_SIZE-th quad from `first` on.
fn strided_moments(first: u32, end: u32) -> Moments {
  var moments = RunningMoments(0.0, 0.0, vec4(0.0), vec4(0.0));
  // The position within a row, without a division for every quad.
  let step = WORKGROUP_SIZE % params.row_quads;
  var quad = first % params.row_quads;
  for (var at = first; at < end; at += WORKGROUP_SIZE) {
    let x = to_f32(values[params.offset + at]);
    moments = add_quad(moments, x, params.row_voxels - quad * 4u);
    quad += step;
    quad -= select(0u, params.row_quads, quad >= params.row_quads);
  }
  return finish_moments(moments);
}

// Writes the affine maps of a group, from its moments in shared_moments[0].
fn write_affines(group: u32, local: u32) {
  let all = shared_moments[0];
  let scale = 1.0 / sqrt(all.squares / all.count + params.epsilon);
  for (var c = local; c < params.group_channels; c += WORKGROUP_SIZE) {
    let channel = group * params.group_channels + c;
    let scale_shift = gamma_beta[params.first_channel + channel];
    affines[params.affine + channel] =
      vec4(all.mean, scale * scale_shift.x, scale_shift.y, params.slope);
  }
}

@compute @workgroup_size(64)
fn partial(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let channel = group.y * params.stride;
  let start = channel + group.x * CHUNK_QUADS;
  let end = channel + min((group.x + 1u) * CHUNK_QUADS, params.stride);
  reduce_moments(local, strided_moments(start + local, end));
  if (local == 0u) {
    partials[group.y * params.chunks + params.first_chunk + group.x] = shared_moments[0];
  }
}

@compute @workgroup_size(64)
fn combine(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let num_partials = params.group_channels * params.chunks;
  var own = Moments(0.0, 0.0, 0.0, 0.0);
  for (var at = local; at < num_partials; at += WORKGROUP_SIZE) {
    own = merge_moments(own, partials[group.y * num_partials + at]);
  }
  reduce_moments(local, own);
  write_affines(group.y, local);
}

@compute @workgroup_size(64)
fn whole_group(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let num_quads = params.group_channels * params.stride;
  let start = group.y * num_quads;
  reduce_moments(local, strided_moments(start + local, start + num_quads));
  write_affines(group.y, local);
}
