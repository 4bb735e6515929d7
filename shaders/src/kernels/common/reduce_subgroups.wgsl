// Reduces the moments of a workgroup's invocations; within a subgroup without workgroup memory.

// A bit per invocation: whether it is the first of its subgroup.
var<workgroup> first_lanes: array<atomic<u32>, 2>;

// Leaves the result in shared_moments[0]. The order is fixed, so that runs give equal results.
fn reduce_moments(local: u32, own: Moments) {
  let count = subgroupAdd(own.count);
  let mean = subgroupAdd(own.mean * own.count) / max(count, 1.0);
  let d = own.mean - mean;
  let squares = subgroupAdd(own.squares + own.count * d * d);
  if (local < 2u) {
    atomicStore(&first_lanes[local], 0u);
  }
  workgroupBarrier();
  if (subgroupMin(local) == local) {
    shared_moments[local] = Moments(count, mean, squares, 0.0);
    atomicOr(&first_lanes[local / 32u], 1u << (local % 32u));
  }
  workgroupBarrier();
  if (local == 0u) {
    var all = Moments(0.0, 0.0, 0.0, 0.0);
    for (var word = 0u; word < 2u; word++) {
      var pending = atomicLoad(&first_lanes[word]);
      while (pending != 0u) {
        all = merge_moments(all, shared_moments[word * 32u + firstTrailingBit(pending)]);
        pending &= pending - 1u;
      }
    }
    shared_moments[0] = all;
  }
  workgroupBarrier();
}
