// A slab's sum in place, or the norm of a slab alone: apart into another, or in place.

struct Params {
  stride: u32, // quads of one channel of the slab
  from_offset: u32, // quads before the view
  to_offset: u32,
  affine: u32, // of the first channel of what is read
  own_affine: u32, // of the first channel of what is changed
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;

fn other(group: vec3<u32>, at: u32) -> vec4<f32> {
  let x = unpacked(input[params.from_offset + group.y * params.stride + at]);
  return normed(x, affines[params.affine + group.y]);
}

fn own(group: vec3<u32>, at: u32) -> vec4<f32> {
  let x = unpacked(output[params.to_offset + group.y * params.stride + at]);
  return normed(x, affines[params.own_affine + group.y]);
}

fn store(group: vec3<u32>, at: u32, value: vec4<f32>) {
  output[params.to_offset + group.y * params.stride + at] = packed(value);
}

fn place(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
  return (group.z * groups.x + group.x) * 64u + local;
}

@compute @workgroup_size(64)
fn add(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = place(group, groups, local);
  if (at < params.stride) {
    store(group, at, own(group, at) + other(group, at));
  }
}

@compute @workgroup_size(64)
fn apart(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = place(group, groups, local);
  if (at < params.stride) {
    store(group, at, other(group, at));
  }
}

@compute @workgroup_size(64)
fn in_place(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = place(group, groups, local);
  if (at < params.stride) {
    store(group, at, own(group, at));
  }
}
