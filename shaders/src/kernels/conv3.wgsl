// Dense 3³ convolution, zero padding 1, of a slab. An invocation computes four voxels along i of
// two blocks of eight output channels: six input values serve 192 multiply-adds, and the weights are
// the same for the whole workgroup.

struct Params {
  window: Window, // of the input; the output's slab is the same
  to_channel: u32,
  num_from: u32,
  num_to: u32,
  first_block: u32, // of eight output channels; even
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Quad>;
// [block of eight outputs][input][tap][eight outputs]
@group(0) @binding(6) var<storage, read> weights: array<vec4<f32>>;

fn store(channel: u32, at: u32, value: vec4<f32>) {
  if (channel < params.num_to) {
    let w = params.window;
    let stride = w.planes * w.dims.y * w.quads;
    output[(params.to_channel + channel) * stride + at] = packed(value);
  }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.z * groups.x + group.x) * 64u + local;
  let dims = params.window.dims;
  let quads = params.window.quads;
  let quad = at % quads;
  let j = at / quads % dims.y;
  let plane = at / quads / dims.y;
  if (plane >= params.window.planes) {
    return;
  }
  let k = params.window.first + plane;
  let block = params.first_block + 2u * group.y;
  let has_second = block * 8u + 8u < params.num_to;
  let second = select(0u, params.num_from * 54u, has_second);
  var w = block * params.num_from * 54u;
  var a = spread(vec4(0.0), vec4(0.0));
  var b = a;
  for (var c = 0u; c < params.num_from; c++) {
    for (var tap_row = 0u; tap_row < 9u; tap_row++) {
      let kk = k + tap_row / 3u - 1u;
      let jj = j + tap_row % 3u - 1u;
      if (kk >= dims.z || jj >= dims.y) {
        w += 6u;
        continue;
      }
      let row = fetch_six(params.window, c, kk, jj, quad);
      var x = vec4(row.left, row.middle.xyz);
      for (var tap = 0u; tap < 3u; tap++) {
        a = plus(a, x, weights[w], weights[w + 1u]);
        if (has_second) {
          b = plus(b, x, weights[w + second], weights[w + second + 1u]);
        }
        w += 2u;
        x = vec4(x.yzw, select(row.right, row.middle.w, tap == 0u));
      }
    }
  }
  store_eight(block * 8u, at, a);
  if (has_second) {
    store_eight(block * 8u + 8u, at, b);
  }
}
