//! Web Locks (<https://www.w3.org/TR/web-locks/>): the page's way to notice that its worker ended.
//!
//! A worker that is killed sends nothing, but the browser then releases the lock that the worker held
//! and grants it to the page that waits for it.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// Holds the lock `name` for the lifetime of this thread, and calls `on_held` once it is held.
///
/// If the browser offers no locks, as outside of https, calls `on_held` without a lock.
pub fn hold(name: &str, on_held: impl FnOnce() + 'static) {
    let on_held = Rc::new(Cell::new(Some(on_held)));
    let on_granted = on_held.clone();
    let hold_forever = Closure::once_into_js(move || {
        on_granted.take().into_iter().for_each(|on_held| on_held());
        Promise::new(&mut |_, _| {})
    });
    let request = request(name, &hold_forever);
    spawn_local(async move {
        // A granted lock is never released, so the request ends only if there are no locks.
        let _ = request.await;
        on_held.take().into_iter().for_each(|on_held| on_held());
    });
}

/// Calls `on_released` when the thread that holds the lock `name` has ended.
///
/// If the browser offers no locks, `on_released` is never called.
pub fn when_released(name: &str, on_released: impl FnOnce() + 'static) {
    let request = request(name, &Closure::once_into_js(on_released));
    spawn_local(async move {
        let _ = request.await;
    });
}

/// Requests a lock, which is held until the promise that `callback` returns is resolved.
fn request(
    name: &str,
    callback: &JsValue,
) -> impl Future<Output = Result<JsValue, JsValue>> + use<> {
    let request = || {
        let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
        let locks = Reflect::get(&navigator, &"locks".into())?;
        let request: JsValue = Reflect::get(&locks, &"request".into())?;
        let request: &Function = request.dyn_ref().ok_or(JsValue::NULL)?;
        request.call2(&locks, &name.into(), callback)
    };
    let promise = request().map(Promise::from);
    async move { JsFuture::from(promise?).await }
}
