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
  var a0 = vec4(0.0);
  var a1 = vec4(0.0);
  var a2 = vec4(0.0);
  var a3 = vec4(0.0);
  var a4 = vec4(0.0);
  var a5 = vec4(0.0);
  var a6 = vec4(0.0);
  var a7 = vec4(0.0);
  var b0 = vec4(0.0);
  var b1 = vec4(0.0);
  var b2 = vec4(0.0);
  var b3 = vec4(0.0);
  var b4 = vec4(0.0);
  var b5 = vec4(0.0);
  var b6 = vec4(0.0);
  var b7 = vec4(0.0);
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
        let low = weights[w];
        let high = weights[w + 1u];
        a0 += x * low.x;
        a1 += x * low.y;
        a2 += x * low.z;
        a3 += x * low.w;
        a4 += x * high.x;
        a5 += x * high.y;
        a6 += x * high.z;
        a7 += x * high.w;
        if (has_second) {
          let low = weights[w + second];
          let high = weights[w + second + 1u];
          b0 += x * low.x;
          b1 += x * low.y;
          b2 += x * low.z;
          b3 += x * low.w;
          b4 += x * high.x;
          b5 += x * high.y;
          b6 += x * high.z;
          b7 += x * high.w;
        }
        w += 2u;
        x = vec4(x.yzw, select(row.right, row.middle.w, tap == 0u));
      }
    }
  }
  let channel = block * 8u;
  store(channel, at, a0);
  store(channel + 1u, at, a1);
  store(channel + 2u, at, a2);
  store(channel + 3u, at, a3);
  store(channel + 4u, at, a4);
  store(channel + 5u, at, a5);
  store(channel + 6u, at, a6);
  store(channel + 7u, at, a7);
  if (has_second) {
    store(channel + 8u, at, b0);
    store(channel + 9u, at, b1);
    store(channel + 10u, at, b2);
    store(channel + 11u, at, b3);
    store(channel + 12u, at, b4);
    store(channel + 13u, at, b5);
    store(channel + 14u, at, b6);
    store(channel + 15u, at, b7);
  }
}
