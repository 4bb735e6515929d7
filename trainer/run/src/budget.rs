//! A bound on the memory of concurrent work. A thread waits for its share before it reads a file.

use std::sync::{Condvar, Mutex, MutexGuard};

/// The memory that concurrent work shares.
pub struct Budget {
    whole_bytes: u64,
    taken_bytes: Mutex<u64>,
    given_back: Condvar,
}

/// A reserved part of a budget, released on drop.
pub struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// Returns a budget of this many bytes. Work that needs more runs alone.
    pub fn new(whole_bytes: u64) -> Budget {
        Budget { whole_bytes, taken_bytes: Mutex::new(0), given_back: Condvar::new() }
    }

    /// Waits until this many bytes are free, and reserves them. A thread that holds a share must not
    /// ask for another: it could wait for itself.
    pub fn take(&self, bytes: u64) -> Share<'_> {
        let must_wait =
            |taken: &mut u64| *taken > 0 && taken.saturating_add(bytes) > self.whole_bytes;
        let taken = self.given_back.wait_while(self.taken(), must_wait);
        *taken.unwrap_or_else(|poisoned| poisoned.into_inner()) += bytes;
        Share { budget: self, bytes }
    }

    /// Locks the reserved bytes. A poisoned lock is usable: the number is never partly changed.
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
    fn work_stays_within_the_bound_and_a_panic_releases_its_share() {
        let (budget, now, most) = (Budget::new(100), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _share = budget.take(33);
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    now.fetch_sub(1, SeqCst);
                });
            }
        });
        assert_eq!((most.load(SeqCst), *budget.taken()), (3, 0));
        let panics = || {
            let _share = budget.take(60);
            panic!("while it holds a share");
        };
        assert!(std::thread::scope(|scope| scope.spawn(panics).join()).is_err());
        assert_eq!(*budget.taken(), 0);
        drop(budget.take(u64::MAX)); // alone, whatever its size
    }
}
