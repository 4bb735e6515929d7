//! Stub.
use crate::{Bundle, LabelMap, Result, Volume};
use std::ops::ControlFlow;
/// Stub.
pub fn is_stripped(_volume: &Volume) -> bool {
    false
}
/// Stub.
pub fn extract_brain(
    _model: &Bundle,
    _volumes: &[&Volume],
    _control: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<LabelMap>> {
    Ok(None)
}
