// Joins the moments of a workgroup's invocations, those of a subgroup without its memory.

var<workgroup> firsts: array<atomic<u32>, 2>; // a bit for each subgroup's first lane

// The first of the shared ones is then all. Always in one order, so that a run can be repeated.
fn join_workgroup(local: u32, own: Moments) {
  let count = subgroupAdd(own.count);
  let mean = subgroupAdd(own.mean * own.count) / max(count, 1.0);
  let d = own.mean - mean;
  let squares = subgroupAdd(own.squares + own.count * d * d);
  if (local < 2u) {
    atomicStore(&firsts[local], 0u);
  }
  workgroupBarrier();
  if (subgroupMin(local) == local) {
    shared_moments[local] = Moments(count, mean, squares, 0.0);
    atomicOr(&firsts[local / 32u], 1u << (local % 32u));
  }
  workgroupBarrier();
  if (local == 0u) {
    var all = Moments(0.0, 0.0, 0.0, 0.0);
    for (var word = 0u; word < 2u; word++) {
      var left = atomicLoad(&firsts[word]);
      while (left != 0u) {
        all = join(all, shared_moments[word * 32u + firstTrailingBit(left)]);
        left &= left - 1u;
      }
    }
    shared_moments[0] = all;
  }
  workgroupBarrier();
}
