// Group norm with activation from the groups' means and deviations (moments.wgsl): in place, or
// apart into another buffer, since no buffer may be bound for reading and for writing at once.

struct Params {
  stride: u32, // vec4s of one channel
  from_offset: u32, // vec4s before the view
  to_offset: u32,
  group_channels: u32,
  negative_slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> statistics: array<vec2<f32>>; // mean, 1/deviation
@group(0) @binding(3) var<storage, read> affine: array<vec2<f32>>; // gamma, beta of a channel
@group(0) @binding(4) var<storage, read> input: array<vec4<f32>>; // of `apart` alone

fn normed(x: vec4<f32>, channel: u32) -> vec4<f32> {
  let moments = statistics[channel / params.group_channels];
  let gamma_beta = affine[channel];
  let y = (x - moments.x) * (moments.y * gamma_beta.x) + gamma_beta.y;
  return max(y, vec4(0.0)) + params.negative_slope * min(y, vec4(0.0));
}

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
  let place = params.to_offset + group.y * params.stride + at;
  values[place] = normed(values[place], group.y);
}

@compute @workgroup_size(64)
fn apart(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  if (at >= params.stride) {
    return;
  }
  let place = group.y * params.stride + at;
  values[params.to_offset + place] = normed(input[params.from_offset + place], group.y);
}
