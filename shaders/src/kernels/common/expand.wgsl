// Eight channels of a plane's tile and its border, expanded and normed, in the workgroup's memory.

const TILE: u32 = 8u; // quads along i and rows along j
const SPAN: u32 = 10u; // with its border
const AREA: u32 = 100u;

var<workgroup> expanded: array<vec4<f32>, 800>; // [channel of eight][row][quad] of one plane

var<private> valid: vec4<bool>; // voxels of the invocation's quad that lie in the map

// A channel as the depthwise convolution reads it: normed, with zeros outside of the map.
fn store(channel: u32, at: u32, x: vec4<f32>) {
  let affine = affines[params.expanded_affine + min(channel, params.num_to - 1u)];
  expanded[channel % 8u * AREA + at] = select(vec4(0.0), normed(x, affine), valid);
}

// The tile of a plane and its border.
fn expand(block: u32, corner: vec2<u32>, k: u32, local: u32) {
  let window = params.window;
  for (var at = local; at < AREA; at += LANES) {
    let quad = corner.x + at % SPAN - 1u;
    let j = corner.y + at / SPAN - 1u;
    let is_inside = quad < window.quads && j < window.dims.y;
    var w = block * (params.num_from + 36u) * 2u;
    var s = spread(vec4(0.0), vec4(0.0));
    if (is_inside) {
      for (var c = 0u; c < params.num_from; c++) {
        s = plus(s, fetch(window, c, k, j, quad), weights[w], weights[w + 1u]);
        w += 2u;
      }
    }
    let voxels = vec4(quad * 4u) + vec4(0u, 1u, 2u, 3u);
    valid = (voxels < vec4(window.dims.x)) & vec4(is_inside);
    store_eight(block * 8u, at, s);
  }
}

// What was expanded makes room for what lanes have found (join_eight.wgsl).
fn put_lane(at: u32, found: vec2<f32>) {
  expanded[at] = vec4(found, 0.0, 0.0);
}

fn lane_at(at: u32) -> vec2<f32> {
  return expanded[at].xy;
}
