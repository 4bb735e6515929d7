// Expands eight channels of a tile and its border in workgroup memory, with the norm applied.

const TILE: u32 = 8u; // quads along i and rows along j
const PADDED_TILE: u32 = 10u; // TILE with a border of one on both sides
const PADDED_AREA: u32 = 100u; // PADDED_TILE²

var<workgroup> expanded: array<vec4<f32>, 800>; // [channel][row][quad]

var<private> valid: vec4<bool>; // whether voxels of the current quad lie in the feature map

// Keeps an expanded channel for the depthwise convolution, normalized, with zeros outside the
// feature map.
fn store(channel: u32, at: u32, x: vec4<f32>) {
  let affine = affines[params.expanded_affine + min(channel, params.out_channels - 1u)];
  expanded[channel % 8u * PADDED_AREA + at] = select(vec4(0.0), apply_norm(x, affine), valid);
}

// Expands the tile at `corner` of plane k, and its border.
fn expand_tile(block: u32, corner: vec2<u32>, k: u32, local: u32) {
  let slab = params.input;
  for (var at = local; at < PADDED_AREA; at += WORKGROUP_SIZE) {
    let quad = corner.x + at % PADDED_TILE - 1u;
    let j = corner.y + at / PADDED_TILE - 1u;
    let is_inside = quad < slab.row_quads && j < slab.dims.y;
    var w = block * (params.in_channels + 36u) * 2u;
    var s = broadcast_eight(vec4(0.0), vec4(0.0));
    if (is_inside) {
      for (var c = 0u; c < params.in_channels; c++) {
        s = add_products(s, fetch(slab, c, k, j, quad), weights[w], weights[w + 1u]);
        w += 2u;
      }
    }
    let voxels = vec4(quad * 4u) + vec4(0u, 1u, 2u, 3u);
    valid = (voxels < vec4(slab.dims.x)) & vec4(is_inside);
    store_eight(block * 8u, at, s);
  }
}

// The mean and the sum of squared deviations of an invocation, for reduce_eight.wgsl. They replace
// the expanded values, which are no longer needed then.
fn put_invocation_moments(at: u32, values: vec2<f32>) {
  expanded[at] = vec4(values, 0.0, 0.0);
}

fn invocation_moments_at(at: u32) -> vec2<f32> {
  return expanded[at].xy;
}
