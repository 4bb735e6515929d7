// Space to depth and back. An invocation moves the eight voxels of a 2³ cube of one wide channel:
// voxel (dk, dj, di) is at the cube's place in narrow channel 8c + 4dk + 2dj + di.

struct Params {
  dims: vec3<u32>, // voxels of the narrow map along i, j, k
  from_stride: u32, // vec4s of one input channel
  to_stride: u32,
  from_offset: u32, // vec4s before the view
  to_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

// The first voxel of the cube at `at`, within its wide channel.
fn corner(at: u32) -> u32 {
  let i = at % params.dims.x;
  let j = at / params.dims.x % params.dims.y;
  let k = at / params.dims.x / params.dims.y;
  return (k * 2u * params.dims.y + j) * 4u * params.dims.x + 2u * i;
}

// From a cube's first voxel to voxel n = 4dk + 2dj + di.
fn step_to(n: u32) -> u32 {
  let row = 2u * params.dims.x;
  return (n / 4u * 2u * params.dims.y + n / 2u % 2u) * row + n % 2u;
}

fn num_cubes() -> u32 {
  return params.dims.x * params.dims.y * params.dims.z;
}

@compute @workgroup_size(64)
fn squeeze(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  if (at >= num_cubes()) {
    return;
  }
  let cube = (params.from_offset + group.y * params.from_stride) * 4u + corner(at);
  for (var n = 0u; n < 8u; n++) {
    let channel = params.to_offset + (group.y * 8u + n) * params.to_stride;
    output[channel * 4u + at] = input[cube + step_to(n)];
  }
}

@compute @workgroup_size(64)
fn unsqueeze(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  if (at >= num_cubes()) {
    return;
  }
  let cube = (params.to_offset + group.y * params.to_stride) * 4u + corner(at);
  for (var n = 0u; n < 8u; n++) {
    let channel = params.from_offset + (group.y * 8u + n) * params.from_stride;
    output[cube + step_to(n)] = input[channel * 4u + at];
  }
}
