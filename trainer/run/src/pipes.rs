//! Whether this process ends with those who read what it prints.

/// Lets this process end, without a word, when it prints and its reader has gone, as in
/// `rewind plan … | head -1`: what Unix's tools do. Rust's default is a panic. Connections are not
/// concerned: Rust's and NCCL's ask for an error instead of the signal.
pub fn end_with_reader() {
    #[cfg(unix)]
    // SAFETY: sets a signal's action to the system's own.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Lets this process outlive its reader: it finds an error where it prints, which
/// [`crate::progress::say`] and [`crate::progress::result`] pass over.
pub fn outlive_reader() {
    #[cfg(unix)]
    // SAFETY: sets a signal to be ignored, as Rust does before `main`.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}
