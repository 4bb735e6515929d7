// Joins the moments of a workgroup's invocations, those of a subgroup without its memory.

var<workgroup> num_subgroups: atomic<u32>;

// The first of the shared ones is then all.
fn join_workgroup(local: u32, own: Moments) {
  let count = subgroupAdd(own.count);
  let mean = subgroupAdd(own.mean * own.count) / max(count, 1.0);
  let d = own.mean - mean;
  let squares = subgroupAdd(own.squares + own.count * d * d);
  if (local == 0u) {
    atomicStore(&num_subgroups, 0u);
  }
  workgroupBarrier();
  if (subgroupBroadcastFirst(local) == local) {
    shared_moments[atomicAdd(&num_subgroups, 1u)] = Moments(count, mean, squares, 0.0);
  }
  workgroupBarrier();
  if (local == 0u) {
    for (var n = 1u; n < atomicLoad(&num_subgroups); n++) {
      shared_moments[0] = join(shared_moments[0], shared_moments[n]);
    }
  }
  workgroupBarrier();
}
