// Joins those of a workgroup's invocations; the first is then all.
fn join_workgroup(local: u32, own: Moments) {
  shared_moments[local] = own;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      shared_moments[local] = join(shared_moments[local], shared_moments[local + half]);
    }
  }
  workgroupBarrier();
}
