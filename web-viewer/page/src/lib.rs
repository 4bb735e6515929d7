//! The WebAssembly file of the page. It only starts the crate `web-viewer`: as the last crate it decides how
//! all others are optimized when they are linked, for speed, while they themselves are optimized for
//! size, except the kernels.
#![cfg(target_arch = "wasm32")]

/// Starts the page or, in a worker's scope, the worker.
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn start() {
    web_viewer::start();
}
