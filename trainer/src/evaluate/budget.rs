//! A bound on the memory of the cases that are scored at once.

use std::sync::{Condvar, Mutex, MutexGuard};

/// The most that the cases in work may take together; a larger case is scored alone.
const WHOLE_BYTES: u64 = 4 << 30;

/// What scoring takes for each voxel, when a region fills the volume: two label maps, two masks,
/// squared distances, components of both and a dilated mask.
const BYTES_PER_VOXEL: u64 = 24;

/// Memory that cases take and give back.
#[derive(Default)]
pub(super) struct Budget {
    taken_bytes: Mutex<u64>,
    given_back: Condvar,
}

/// A case's share, given back when it is dropped.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// Waits until a case of so many voxels may be read.
    pub fn take(&self, num_voxels: usize) -> Share<'_> {
        let bytes = (num_voxels as u64).saturating_mul(BYTES_PER_VOXEL);
        let must_wait = |taken: &mut u64| *taken > 0 && taken.saturating_add(bytes) > WHOLE_BYTES;
        let taken = self.given_back.wait_while(self.taken(), must_wait);
        *taken.unwrap_or_else(|poisoned| poisoned.into_inner()) += bytes;
        Share { budget: self, bytes }
    }

    /// A thread that panics holds no half-changed number.
    fn taken(&self) -> MutexGuard<'_, u64> {
        self.taken_bytes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.taken() -= self.bytes;
        self.budget.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    #[test]
    fn cases_in_work_stay_within_the_bound() {
        let voxels = (WHOLE_BYTES / BYTES_PER_VOXEL / 3) as usize;
        let (budget, now, most) = (Budget::default(), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _share = budget.take(voxels);
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    now.fetch_sub(1, SeqCst);
                });
            }
        });
        assert_eq!((most.load(SeqCst), *budget.taken()), (3, 0));
        drop(budget.take(usize::MAX)); // alone, whatever its size
    }
}
