// Group norm with activation, in place, from the groups' means and deviations (moments.wgsl).

struct Params {
  stride: u32, // vec4s of one channel
  offset: u32, // vec4s before the view
  group_channels: u32,
  negative_slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> statistics: array<vec2<f32>>; // mean, 1/deviation
@group(0) @binding(3) var<storage, read> affine: array<vec2<f32>>; // gamma, beta of a channel

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  if (at >= params.stride) {
    return;
  }
  let moments = statistics[group.y / params.group_channels];
  let gamma_beta = affine[group.y];
  let place = params.offset + group.y * params.stride + at;
  let y = (values[place] - moments.x) * (moments.y * gamma_beta.x) + gamma_beta.y;
  values[place] = max(y, vec4(0.0)) + params.negative_slope * min(y, vec4(0.0));
}
