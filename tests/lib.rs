//! What the promises share: where real data lies, work measured alone in a process of its own, and
//! files changed at random.

mod alone;
pub mod fuzz;
mod gpu;
mod networks;

pub use alone::{Outcome, alone, peak_bytes};
pub use gpu::engine;
pub use networks::shrunk;
pub use trainer_bench::counting_allocator::{held_bytes, take_peak_bytes};

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: trainer_bench::counting_allocator::CountingAllocator =
    trainer_bench::counting_allocator::CountingAllocator;

/// The folder of the root `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the workspace")
}

/// Says in one line what a test lacks; written past the test harness, which hides what passing
/// tests print.
pub fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// A file or folder of the real data, in `$REWIND_DATA` or else `../shared/data` beside the
/// workspace. Where it is missing this says "skipped: …"; the test then returns.
pub fn data(path: &str) -> Option<PathBuf> {
    let folder = env::var_os("REWIND_DATA").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| root().join("../shared/data"));
    let found = folder.join(path);
    if !found.exists() {
        skipped(&format!("no {path} in $REWIND_DATA or ../shared/data"));
        return None;
    }
    Some(found)
}
