//! Brain extraction: finds the brain in a scan with skull, and removes everything else.

mod extract;
mod head_box;
mod stripped;

pub use extract::extract_brain;
pub use head_box::HeadBox;
pub use stripped::is_stripped;

use crate::task::{Head, Label, Region, Task, TaskDescription};

/// The network for brain extraction, as a bundle that [`extract_brain`] takes. The page fetches the
/// same file when it needs it.
#[cfg(not(target_arch = "wasm32"))]
pub const BRAIN_NETWORK: &[u8] = include_bytes!("../models/brain-extraction.safetensors");

/// Returns the task of the network for brain extraction: one channel of any contrast, and the brain as
/// its only region.
pub fn brain_task() -> Task {
    let description = TaskDescription {
        name: "Brain extraction".to_string(),
        channels: vec!["MRI".to_string()],
        labels: vec![Label { name: "brain".to_string(), code: 1 }],
        regions: vec![Region {
            name: "brain".to_string(),
            labels: vec![1],
            writes: 1,
            color: [86, 180, 233],
        }],
        head: Head::Sigmoid,
    };
    Task::new(description).expect("a task without contradictions")
}
