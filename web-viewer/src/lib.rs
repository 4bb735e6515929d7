//! The page that segments a scan in the browser, and the server that serves it.
//!
//! Everything that needs no browser is plain Rust, tested natively: share links and slices. The page and its worker are compiled for wasm only, the server natively only.

pub mod budget;
pub mod compare;
pub mod demo;
pub mod edit;
pub mod measure;
pub mod messages;
pub mod numbers;
#[cfg(target_arch = "wasm32")]
mod page;
pub mod protocol;
pub mod report;
#[cfg(all(not(target_arch = "wasm32"), feature = "server"))]
pub mod server;
pub mod share;
pub mod slice;
#[cfg(target_arch = "wasm32")]
mod web_lock;
#[cfg(target_arch = "wasm32")]
mod worker;
#[cfg(target_arch = "wasm32")]
mod worker_script;

/// Starts the page or, in a worker's scope, the worker. Both are the same WebAssembly module.
#[cfg(target_arch = "wasm32")]
pub fn start() {
    use wasm_bindgen::JsCast;
    match js_sys::global().is_instance_of::<web_sys::DedicatedWorkerGlobalScope>() {
        true => worker::start(),
        false => page::start(),
    }
}
