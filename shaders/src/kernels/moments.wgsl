// Mean and deviation of every group of channels, for the norm: `partial` takes count, mean and sum of
// squared deviations of a chunk of a slab, `combine` joins a group's chunks of all slabs. Moments are
// joined by Chan's formula, so that f32 is enough for millions of voxels.

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

const LANES: u32 = 256u;
const CHUNK: u32 = 4096u; // quads

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<Quad>;
@group(0) @binding(5) var<storage, read_write> partials: array<Moments>; // [channel][chunk]
@group(0) @binding(6) var<storage, read> gamma_beta: array<vec2<f32>>; // of a channel
@group(0) @binding(7) var<storage, read_write> affines: array<vec4<f32>>;

var<workgroup> shared_moments: array<Moments, LANES>;

fn join_workgroup(local: u32, own: Moments) -> Moments {
  shared_moments[local] = own;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      shared_moments[local] = join(shared_moments[local], shared_moments[local + half]);
    }
  }
  return shared_moments[0];
}

@compute @workgroup_size(256)
fn partial(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let channel = params.offset + group.y * params.stride;
  let end = min((group.x + 1u) * CHUNK, params.stride);
  let start = group.x * CHUNK + local;
  // Deviations are taken from a value of the chunk, so that a large mean cancels nothing.
  let pivot = unpacked(values[channel + group.x * CHUNK]).x;
  var count = 0u;
  var sum = 0.0;
  var squares = 0.0;
  for (var at = start; at < end; at += LANES) {
    let lanes = min(params.row - at % params.quads * 4u, 4u);
    let valid = vec4(0u, 1u, 2u, 3u) < vec4(lanes);
    let d = select(vec4(0.0), unpacked(values[channel + at]) - pivot, valid);
    count += lanes;
    sum += dot(d, vec4(1.0));
    squares += dot(d, d);
  }
  var own = Moments(f32(count), 0.0, 0.0, 0.0);
  if (count > 0u) {
    let mean = sum / f32(count);
    own = Moments(f32(count), pivot + mean, max(squares - sum * mean, 0.0), 0.0);
  }
  let all = join_workgroup(local, own);
  if (local == 0u) {
    partials[group.y * params.chunks + params.first_chunk + group.x] = all;
  }
}

@compute @workgroup_size(256)
fn combine(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let num_partials = params.group_channels * params.chunks;
  var own = Moments(0.0, 0.0, 0.0, 0.0);
  for (var at = local; at < num_partials; at += LANES) {
    own = join(own, partials[group.y * num_partials + at]);
  }
  join_workgroup(local, own);
  workgroupBarrier();
  let all = shared_moments[0];
  let scale = 1.0 / sqrt(all.squares / all.count + params.epsilon);
  for (var c = local; c < params.group_channels; c += LANES) {
    let channel = group.y * params.group_channels + c;
    let own_affine = gamma_beta[params.first_channel + channel];
    affines[params.affine + channel] =
      vec4(all.mean, scale * own_affine.x, own_affine.y, params.slope);
  }
}
