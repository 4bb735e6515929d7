// The label code of every voxel, four voxels to a u32, the first in the low byte.

struct Params {
  stride: u32, // vec4s of one channel
  from_offset: u32, // vec4s before the view
  num_from: u32,
  exclusive: u32, // 1: code of the largest logit; 0: of the last positive one
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> labels: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<u32>;

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
  var best = logits[params.from_offset + at];
  var code = vec4(codes[0]);
  if (params.exclusive == 0u) {
    code = select(vec4(0u), code, best > vec4(0.0));
  }
  for (var c = 1u; c < params.num_from; c++) {
    let logit = logits[params.from_offset + c * params.stride + at];
    if (params.exclusive == 1u) {
      code = select(code, vec4(codes[c]), logit > best);
      best = max(best, logit);
    } else {
      code = select(code, vec4(codes[c]), logit > vec4(0.0));
    }
  }
  labels[at] = code.x | (code.y << 8u) | (code.z << 16u) | (code.w << 24u);
}
