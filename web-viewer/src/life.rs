//! Whether the worker still lives. A worker that is killed sends nothing; but the browser then gives up
//! the lock that it held, to the page that waits for it (Web Locks, <https://www.w3.org/TR/web-locks/>).

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// Holds the lock `name` for as long as this thread lives, and calls `held` once it is held; without it
/// where the browser gives no locks, as outside of https.
pub fn hold(name: &str, held: impl FnOnce() + 'static) {
    let held = Rc::new(Cell::new(Some(held)));
    let granted = held.clone();
    let forever = Closure::once_into_js(move || {
        granted.take().into_iter().for_each(|held| held());
        Promise::new(&mut |_, _| {})
    });
    let asked = request(name, &forever);
    spawn_local(async move {
        // Ends only when there is no lock to be had.
        let _ = asked.await;
        held.take().into_iter().for_each(|held| held());
    });
}

/// Calls `ended` when the thread that holds the lock `name` is gone; never where the browser gives no
/// locks.
pub fn when_ended(name: &str, ended: impl FnOnce() + 'static) {
    let asked = request(name, &Closure::once_into_js(ended));
    spawn_local(async move {
        let _ = asked.await;
    });
}

/// Asks for a lock, which is held until the promise that `callback` returns comes true.
fn request(
    name: &str,
    callback: &JsValue,
) -> impl Future<Output = Result<JsValue, JsValue>> + use<> {
    let asked = || {
        let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
        let locks = Reflect::get(&navigator, &"locks".into())?;
        let request = Reflect::get(&locks, &"request".into())?;
        let request: &Function = request.dyn_ref().ok_or(JsValue::NULL)?;
        request.call2(&locks, &name.into(), callback)
    };
    let asked = asked().map(Promise::from);
    async move { JsFuture::from(asked?).await }
}
