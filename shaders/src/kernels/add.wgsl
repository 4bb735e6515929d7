// to += from.

struct Params {
  stride: u32, // vec4s of one channel
  from_offset: u32, // vec4s before the view
  to_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

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
  let place = group.y * params.stride + at;
  output[params.to_offset + place] += input[params.from_offset + place];
}
