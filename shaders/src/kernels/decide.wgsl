// The label code of every voxel of a slab, four voxels to a u32, the first in the low byte.

struct Params {
  stride: u32, // quads of one channel of the slab
  from_offset: u32, // quads before the view
  affine: u32, // of its first channel
  num_from: u32,
  exclusive: u32, // 1: code of the largest logit; 0: of the last positive one
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> labels: array<u32>;
@group(0) @binding(6) var<storage, read> codes: array<u32>;

fn logit(c: u32, at: u32) -> vec4<f32> {
  let x = unpacked(logits[params.from_offset + c * params.stride + at]);
  return normed(x, affines[params.affine + c]);
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
  var best = logit(0u, at);
  var code = vec4(codes[0]);
  if (params.exclusive == 0u) {
    code = select(vec4(0u), code, best > vec4(0.0));
  }
  for (var c = 1u; c < params.num_from; c++) {
    let other = logit(c, at);
    if (params.exclusive == 1u) {
      code = select(code, vec4(codes[c]), other > best);
      best = max(best, other);
    } else {
      code = select(code, vec4(codes[c]), other > vec4(0.0));
    }
  }
  labels[at] = code.x | (code.y << 8u) | (code.z << 16u) | (code.w << 24u);
}
