//! An allocator that counts the bytes this process holds. Memory on the CPU is measured with it.
//!
//! It costs two atomic operations an allocation. The command and the tests install it; in other
//! programs the counts stay 0.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator with counters.
pub struct CountingAllocator;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Counts bytes that are about to be held.
fn add(bytes: usize) {
    let held = HELD_BYTES.fetch_add(bytes, Relaxed) + bytes;
    PEAK_BYTES.fetch_max(held, Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged; only the counters are updated.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old block is held until its content is copied, but the two are counted as one.
        let held = HELD_BYTES.fetch_add(size, Relaxed) + size - layout.size();
        HELD_BYTES.fetch_sub(layout.size(), Relaxed);
        PEAK_BYTES.fetch_max(held, Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Returns the bytes that the process has allocated and not yet freed.
pub fn held_bytes() -> usize {
    HELD_BYTES.load(Relaxed)
}

/// Returns the most bytes held at once since the last call of this function.
pub fn take_peak_bytes() -> usize {
    PEAK_BYTES.swap(HELD_BYTES.load(Relaxed), Relaxed)
}
