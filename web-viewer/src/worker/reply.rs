//! Sends the responses of workers.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::DedicatedWorkerGlobalScope;

use crate::protocol::{PartResponse, WorkerResponse};

/// A response with the arrays that accompany it, or an error message for the user.
pub(super) type Reply = Result<(WorkerResponse, Vec<JsValue>), String>;

/// Replies that a request without a result is done.
pub(super) fn done() -> Reply {
    Ok((WorkerResponse::Done, Vec::new()))
}

/// Returns the worker's global scope.
pub(super) fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Sends a response to the request `request_id`. The arrays' memory is transferred.
pub(super) fn post(request_id: u32, response: &WorkerResponse, arrays: &[JsValue]) {
    let json = serde_json::to_string(response).expect("a response is plain data");
    let message = Array::of3(&request_id.into(), &json.into(), &arrays.iter().collect::<Array>());
    let buffers: Array =
        arrays.iter().map(|array| array.unchecked_ref::<Uint8Array>().buffer()).collect();
    if let Err(error) = scope().post_message_with_transfer(&message, &buffers) {
        wasm_bindgen::throw_val(error);
    }
}

/// Sends the response of a part's worker. The memory of its array is transferred.
pub(super) fn post_json(response: &PartResponse, array: Option<JsValue>) {
    let json = serde_json::to_string(response).expect("a response is plain data");
    let buffers: Array =
        array.iter().map(|array| array.unchecked_ref::<Uint8Array>().buffer()).collect();
    let message = Array::of2(&json.into(), &array.unwrap_or(JsValue::NULL));
    if let Err(error) = scope().post_message_with_transfer(&message, &buffers) {
        wasm_bindgen::throw_val(error);
    }
}
