//! The page that segments a scan in the browser, and the server that serves it.
//!
//! What can be said without a browser is plain Rust, tested natively: links, slices, which file is
//! which channel. The page and its worker are compiled for wasm only, the server natively only.

#[cfg(all(not(target_arch = "wasm32"), feature = "server"))]
pub mod server;
pub mod share;
pub mod slice;
