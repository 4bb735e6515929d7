// Adds a slab to another in place, or applies the norm of a slab, into another slab or in place.

struct Params {
  stride: u32, // quads of one channel of the slab
  input_offset: u32, // quads before the view
  output_offset: u32,
  affine: u32, // index for the first input channel
  output_affine: u32, // index for the first output channel
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;

fn load_input(group: vec3<u32>, at: u32) -> vec4<f32> {
  let x = to_f32(input[params.input_offset + group.y * params.stride + at]);
  return apply_norm(x, affines[params.affine + group.y]);
}

fn load_output(group: vec3<u32>, at: u32) -> vec4<f32> {
  let x = to_f32(output[params.output_offset + group.y * params.stride + at]);
  return apply_norm(x, affines[params.output_affine + group.y]);
}

fn store(group: vec3<u32>, at: u32, value: vec4<f32>) {
  output[params.output_offset + group.y * params.stride + at] = to_quad(value);
}

fn quad_index(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
  return (group.z * groups.x + group.x) * 64u + local;
}

@compute @workgroup_size(64)
fn add(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = quad_index(group, groups, local);
  if (at < params.stride) {
    store(group, at, load_output(group, at) + load_input(group, at));
  }
}

@compute @workgroup_size(64)
fn normalize_into(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = quad_index(group, groups, local);
  if (at < params.stride) {
    store(group, at, load_input(group, at));
  }
}

@compute @workgroup_size(64)
fn normalize_in_place(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = quad_index(group, groups, local);
  if (at < params.stride) {
    store(group, at, load_output(group, at));
  }
}
