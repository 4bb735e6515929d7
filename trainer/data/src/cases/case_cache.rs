//! A least-recently-used cache of values in memory, within a limit in bytes.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use anyhow::{Result, ensure};

/// Values by number. Values in use and values being loaded count towards the limit too.
pub(super) struct CaseCache<T> {
    max_bytes: u64,
    state: Mutex<State<T>>,
    /// Signals that memory was given back or that a value was inserted.
    changed: Condvar,
}

struct State<T> {
    used_bytes: u64,
    /// Counts accesses, to order them.
    clock: u64,
    cached: HashMap<usize, CachedCase<T>>,
    /// Numbers that a thread is loading right now.
    loading: HashSet<usize>,
}

struct CachedCase<T> {
    value: Arc<T>,
    bytes: u64,
    last_used: u64,
    /// The number of guards that are alive.
    users: usize,
}

/// Keeps a value in the cache until it is dropped.
pub struct CacheGuard<T> {
    /// `None` only during drop.
    value: Option<Arc<T>>,
    number: usize,
    case_cache: Arc<CaseCache<T>>,
}

/// Bytes of the limit, given back when dropped.
pub(super) struct Reservation<T> {
    bytes: u64,
    /// The number that is being loaded into these bytes.
    loading: Option<usize>,
    case_cache: Arc<CaseCache<T>>,
}

impl<T> CaseCache<T> {
    /// Creates an empty cache with a limit in bytes.
    pub fn new(max_bytes: u64) -> Arc<CaseCache<T>> {
        let state =
            State { used_bytes: 0, clock: 0, cached: HashMap::new(), loading: HashSet::new() };
        Arc::new(CaseCache { max_bytes, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Returns the limit in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Returns a cached value, or makes it within `bytes` of memory, waiting until they are free.
    ///
    /// `make` returns the value and the bytes that the value itself takes.
    ///
    /// # Errors
    /// Returns the error of `make`. Errors if `bytes` exceeds the limit.
    pub fn get(
        self: &Arc<Self>,
        number: usize,
        bytes: u64,
        make: impl FnOnce() -> Result<(T, u64)>,
    ) -> Result<CacheGuard<T>> {
        ensure!(
            bytes <= self.max_bytes,
            "expected memory for {bytes} bytes, found {}",
            self.max_bytes
        );
        let mut state = self.state();
        loop {
            state.clock += 1;
            let clock = state.clock;
            if let Some(cached) = state.cached.get_mut(&number) {
                (cached.last_used, cached.users) = (clock, cached.users + 1);
                let value = Some(cached.value.clone());
                return Ok(CacheGuard { value, number, case_cache: self.clone() });
            }
            if !state.loading.contains(&number) && state.make_room(bytes, self.max_bytes) {
                break;
            }
            state = self.wait(state);
        }
        state.loading.insert(number);
        drop(state);
        // Given back in any case: the value itself is counted separately.
        let _room = Reservation { bytes, loading: Some(number), case_cache: self.clone() };
        let (value, bytes) = make()?;
        let value = Arc::new(value);
        let mut state = self.state();
        state.clock += 1;
        state.used_bytes += bytes;
        let cached = CachedCase { value: value.clone(), bytes, last_used: state.clock, users: 1 };
        state.cached.insert(number, cached);
        Ok(CacheGuard { value: Some(value), number, case_cache: self.clone() })
    }

    /// Reserves bytes, waiting until they are free; at most the whole limit.
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Reservation<T> {
        let bytes = bytes.min(self.max_bytes);
        let mut state = self.state();
        while !state.make_room(bytes, self.max_bytes) {
            state = self.wait(state);
        }
        Reservation { bytes, loading: None, case_cache: self.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no thread panics while it holds this")
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).expect("no thread panics while it holds this")
    }
}

impl<T> State<T> {
    /// Takes bytes, dropping the least recently used values. Returns whether enough were free.
    fn make_room(&mut self, bytes: u64, max_bytes: u64) -> bool {
        while self.used_bytes + bytes > max_bytes {
            let unused = self.cached.iter().filter(|(_, cached)| cached.users == 0);
            let oldest = unused.min_by_key(|(_, cached)| cached.last_used);
            let Some(number) = oldest.map(|(number, _)| *number) else { return false };
            let dropped = self.cached.remove(&number).expect("the number is a key");
            self.used_bytes -= dropped.bytes;
        }
        self.used_bytes += bytes;
        true
    }
}

impl<T> Deref for CacheGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value is present until the drop")
    }
}

impl<T> Drop for CacheGuard<T> {
    fn drop(&mut self) {
        // First, so that the thread that evicts the value afterwards frees its memory.
        self.value = None;
        let mut state = self.case_cache.state();
        if let Some(cached) = state.cached.get_mut(&self.number) {
            cached.users -= 1;
        }
        self.case_cache.changed.notify_all();
    }
}

impl<T> Drop for Reservation<T> {
    fn drop(&mut self) {
        let mut state = self.case_cache.state();
        state.used_bytes -= self.bytes;
        if let Some(number) = self.loading {
            state.loading.remove(&number);
        }
        self.case_cache.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
    use std::thread;

    #[test]
    fn the_least_recently_used_value_is_evicted_first() {
        let case_cache = CaseCache::new(30);
        let made = AtomicUsize::new(0);
        let get = |number: usize| {
            let make = || {
                made.fetch_add(1, SeqCst);
                Ok((number, 10))
            };
            assert_eq!(*case_cache.get(number, 10, make).unwrap(), number);
        };
        for number in [0, 1, 2, 0, 3] {
            get(number);
        }
        assert_eq!(made.load(SeqCst), 4);
        get(0);
        get(2);
        get(3);
        assert_eq!(made.load(SeqCst), 4, "0 was used after 1");
        get(1);
        assert_eq!(made.load(SeqCst), 5);
    }

    #[test]
    fn threads_stay_within_the_limit_and_load_each_value_alone() {
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let case_cache = CaseCache::new(35);
        struct Value<'a>(&'a AtomicU64);
        impl Drop for Value<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(10, SeqCst);
            }
        }
        thread::scope(|scope| {
            for start in 0..8 {
                let (case_cache, held, most) = (&case_cache, &held, &most);
                scope.spawn(move || {
                    for n in 0..200 {
                        let make = || {
                            most.fetch_max(held.fetch_add(10, SeqCst) + 10, SeqCst);
                            Ok((Value(held), 10))
                        };
                        let loaded = case_cache.get((start * 3 + n * 7) % 11, 10, make).unwrap();
                        thread::yield_now();
                        drop(loaded);
                        drop(case_cache.reserve(5));
                    }
                });
            }
        });
        assert_eq!(most.load(SeqCst), 30);
    }

    #[test]
    fn memory_is_given_back_after_an_error_and_too_large_values_are_refused() {
        let case_cache: Arc<CaseCache<u8>> = CaseCache::new(10);
        assert!(case_cache.get(0, 11, || Ok((1, 1))).is_err());
        assert!(case_cache.get(0, 10, || anyhow::bail!("no")).is_err());
        assert_eq!(*case_cache.get(0, 10, || Ok((3, 1))).unwrap(), 3);
        // A value that needs 10 bytes while it is made keeps only 1.
        assert_eq!(*case_cache.get(1, 9, || Ok((4, 9))).unwrap(), 4);
        assert_eq!(*case_cache.get(0, 10, || Ok((5, 1))).unwrap(), 3);
    }
}
