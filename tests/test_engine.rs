//! The WGSL engine of the tests.

use shaders::Engine;

use crate::skipped;

/// Opens an engine on any adapter, including software Vulkan.
///
/// Without an adapter it prints "skipped: …" and returns `None`.
///
/// # Panics
/// If there is no adapter and `$REWIND_REQUIRE_GPU` is set.
pub fn engine() -> Option<Engine> {
    match pollster::block_on(Engine::new()) {
        Ok(engine) => Some(engine),
        Err(error) if std::env::var_os("REWIND_REQUIRE_GPU").is_some() => panic!("{error}"),
        Err(error) => {
            skipped(&error.to_string());
            None
        }
    }
}
