// The label code of every voxel of a slab, four voxels per u32, the first in the lowest byte.

struct Params {
  stride: u32, // quads of one channel of the slab
  input_offset: u32, // quads before the view
  affine: u32, // index for the first channel
  in_channels: u32,
  is_exclusive: u32, // 1: the code of the largest logit; 0: the code of the last positive logit
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<Quad>;
@group(0) @binding(4) var<storage, read> affines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> labels: array<u32>;
@group(0) @binding(6) var<storage, read> codes: array<u32>;

fn logit(c: u32, at: u32) -> vec4<f32> {
  let x = to_f32(logits[params.input_offset + c * params.stride + at]);
  return apply_norm(x, affines[params.affine + c]);
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
  if (params.is_exclusive == 0u) {
    code = select(vec4(0u), code, best > vec4(0.0));
  }
  for (var c = 1u; c < params.in_channels; c++) {
    let other = logit(c, at);
    if (params.is_exclusive == 1u) {
      code = select(code, vec4(codes[c]), other > best);
      best = max(best, other);
    } else {
      code = select(code, vec4(codes[c]), other > vec4(0.0));
    }
  }
  labels[at] = code.x | (code.y << 8u) | (code.z << 16u) | (code.w << 24u);
}
