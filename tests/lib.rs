//! Support for the integration tests: real data, child processes, networks, engines and fuzzing.

mod child_process;
mod cpu_parts;
pub mod fuzz;
mod narrow_networks;
mod test_engine;

pub use child_process::{ChildOutcome, in_child_process, peak_bytes};
pub use cpu_parts::run_in_parts;
pub use narrow_networks::narrow_network;
pub use test_engine::engine;
pub use trainer_bench::counting_allocator::{held_bytes, take_peak_bytes};

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: trainer_bench::counting_allocator::CountingAllocator =
    trainer_bench::counting_allocator::CountingAllocator;

/// Returns the folder of the root `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the workspace")
}

/// Prints why a test is skipped, directly to standard error: the test harness hides the output of
/// passing tests.
pub fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Returns the path of a file or folder of the real data, in `$REWIND_DATA` or in `../shared/data`
/// beside the workspace.
///
/// If the path does not exist, this function prints "skipped: …" and returns `None`.
pub fn data(path: &str) -> Option<PathBuf> {
    let folder = env::var_os("REWIND_DATA").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| root().join("../shared/data"));
    let path_in_data = folder.join(path);
    if !path_in_data.exists() {
        skipped(&format!("no {path} in $REWIND_DATA or ../shared/data"));
        return None;
    }
    Some(path_in_data)
}
