//! The engine that tests run programs on.

use shaders::Engine;

use crate::skipped;

/// An engine on any adapter, software Vulkan included. Where there is none this says "skipped: …";
/// with `$REWIND_REQUIRE_GPU` set that is a failure.
///
/// # Panics
/// When there is no adapter and `$REWIND_REQUIRE_GPU` is set.
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
