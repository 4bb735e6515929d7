// Maximum over 2³ voxels. An invocation computes one output voxel.

struct Params {
  dims: vec3<u32>, // voxels of the output along i, j, k
  from_stride: u32, // vec4s of one input channel
  to_stride: u32,
  from_offset: u32, // vec4s before the view
  to_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

fn row_max(at: u32) -> f32 {
  return max(input[at], input[at + 1u]);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let i = at % params.dims.x;
  let j = at / params.dims.x % params.dims.y;
  let k = at / params.dims.x / params.dims.y;
  if (k >= params.dims.z) {
    return;
  }
  let row = 2u * params.dims.x;
  let plane = row * 2u * params.dims.y;
  let channel = (params.from_offset + group.y * params.from_stride) * 4u;
  let corner = channel + 2u * k * plane + 2u * j * row + 2u * i;
  let near = max(row_max(corner), row_max(corner + row));
  let far = max(row_max(corner + plane), row_max(corner + plane + row));
  output[(params.to_offset + group.y * params.to_stride) * 4u + at] = max(near, far);
}
