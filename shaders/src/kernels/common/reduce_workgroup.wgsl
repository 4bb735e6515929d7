// Reduces the moments of a workgroup's invocations. Leaves the result in shared_moments[0].

fn reduce_moments(local: u32, own: Moments) {
  shared_moments[local] = own;
  for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      shared_moments[local] = merge_moments(shared_moments[local], shared_moments[local + half]);
    }
  }
  workgroupBarrier();
}
