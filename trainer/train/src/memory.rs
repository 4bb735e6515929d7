//! The memory of the process.

/// Keeps freed tensors' memory for the next ones.
///
/// glibc maps every large block anew and gives it back at once, so that each tensor pays for
/// fresh, zeroed pages: a fifth of a rewinding step at 64³ on the CPU, measured with
/// `cargo run -p model-core --features burn --example step_time -- demo 64` and the same with
/// `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=1099511627776` before it.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets the allocator's own numbers; called before other threads start.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        // Every arena keeps its own freed memory, and those of threads give it back all the same.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns the most memory that this process has held, in bytes, as the system counts it; `None`
/// where the system does not tell.
pub fn peak_process_bytes() -> Option<u64> {
    #[cfg(unix)]
    {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: getrusage fills the whole structure where it returns 0.
        let usage = unsafe {
            if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
                return None;
            }
            usage.assume_init()
        };
        // Linux counts KiB, macOS bytes.
        let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
        u64::try_from(usage.ru_maxrss).ok().map(|count| count * unit).filter(|bytes| *bytes > 0)
    }
    #[cfg(not(unix))]
    None
}
