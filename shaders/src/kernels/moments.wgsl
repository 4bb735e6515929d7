// Mean and deviation of every group of channels, for the norm: `partial` takes count, mean and sum of
// squared deviations of a chunk of a slab, `combine` joins a group's chunks of all slabs, and `whole`
// does both for a group of few voxels. Moments are joined by Chan's formula, so that f32 is enough for
// millions of voxels.

struct Params {
  stride: u32, // quads of one channel of the slab
  offset: u32, // quads before the view
  row: u32, // voxels of a row; lanes beyond it count for nothing
  quads: u32, // of a row
  affine: u32, // of the first channel: what is read is normed by it, what is found is put there
  group_channels: u32,
  chunks: u32, // of one channel, in all slabs
  first_chunk: u32, // of this slab
  first_channel: u32, // of this norm, in gamma and beta
  slope: f32,
  epsilon: f32,
}

const CHUNK: u32 = 2048u; // quads

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> values: array<Quad>;
@group(0) @binding(5) var<storage, read_write> partials: array<Moments>; // [channel][chunk]
@group(0) @binding(6) var<storage, read> gamma_beta: array<vec2<f32>>; // of a channel
@group(0) @binding(7) var<storage, read_write> affines: array<vec4<f32>>;

// Of a lane's quads: each LANES-th one from `first` on.
fn lane(first: u32, end: u32) -> Moments {
  var counted = Counted(0.0, 0.0, vec4(0.0), vec4(0.0));
  // The place within a row, without a division for every quad.
  let step = LANES % params.quads;
  var quad = first % params.quads;
  for (var at = first; at < end; at += LANES) {
    let x = unpacked(values[params.offset + at]);
    counted = with_quad(counted, x, params.row - quad * 4u);
    quad += step;
    quad -= select(0u, params.quads, quad >= params.quads);
  }
  return moments_of(counted);
}

// The affines of a group, from the moments of all of it.
fn put_affines(group: u32, local: u32) {
  let all = shared_moments[0];
  let scale = 1.0 / sqrt(all.squares / all.count + params.epsilon);
  for (var c = local; c < params.group_channels; c += LANES) {
    let channel = group * params.group_channels + c;
    let own = gamma_beta[params.first_channel + channel];
    affines[params.affine + channel] = vec4(all.mean, scale * own.x, own.y, params.slope);
  }
}

@compute @workgroup_size(64)
fn partial(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let channel = group.y * params.stride;
  let start = channel + group.x * CHUNK;
  let end = channel + min((group.x + 1u) * CHUNK, params.stride);
  join_workgroup(local, lane(start + local, end));
  if (local == 0u) {
    partials[group.y * params.chunks + params.first_chunk + group.x] = shared_moments[0];
  }
}

@compute @workgroup_size(64)
fn combine(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let num_partials = params.group_channels * params.chunks;
  var own = Moments(0.0, 0.0, 0.0, 0.0);
  for (var at = local; at < num_partials; at += LANES) {
    own = join(own, partials[group.y * num_partials + at]);
  }
  join_workgroup(local, own);
  put_affines(group.y, local);
}

@compute @workgroup_size(64)
fn whole(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let num_quads = params.group_channels * params.stride;
  let start = group.y * num_quads;
  join_workgroup(local, lane(start + local, start + num_quads));
  put_affines(group.y, local);
}
