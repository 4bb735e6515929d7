//! The page that segments a scan in the browser, and the server that serves it.
//!
//! What can be said without a browser is plain Rust, tested natively: links, slices, which file is
//! which channel. The page and its worker are compiled for wasm only, the server natively only.

pub mod budget;
pub mod channel_guess;
pub mod demo;
#[cfg(target_arch = "wasm32")]
mod life;
pub mod messages;
#[cfg(target_arch = "wasm32")]
mod page;
pub mod protocol;
#[cfg(all(not(target_arch = "wasm32"), feature = "server"))]
pub mod server;
pub mod share;
pub mod slice;
#[cfg(target_arch = "wasm32")]
mod worker;

/// Starts the page, or its worker: one WebAssembly is both.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn start() {
    use wasm_bindgen::JsCast;
    match js_sys::global().is_instance_of::<web_sys::DedicatedWorkerGlobalScope>() {
        true => worker::start(),
        false => page::start(),
    }
}
