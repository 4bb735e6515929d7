//! The end of this process when the reader of its output has gone.

/// Ends this process silently when it prints and its reader has gone, as in `rewind plan … | head -1`,
/// like other Unix tools. Rust's default is a panic. Network connections are not affected: Rust and
/// NCCL ask for an error instead of the signal.
pub fn end_with_reader() {
    #[cfg(unix)]
    // SAFETY: sets a signal's action to the system's own.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Lets this process outlive its reader. Printing then fails, which [`crate::progress::say`] and
/// [`crate::progress::result`] ignore.
pub fn outlive_reader() {
    #[cfg(unix)]
    // SAFETY: sets a signal to be ignored, as Rust does before `main`.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}
