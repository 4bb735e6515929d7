//! The description of a network's execution plan, for people and records.

use std::fmt;

use model_core::texts::bytes as format_bytes;
use serde::{Deserialize, Serialize};
use shaders::Plan;
use shaders::kernels::Storage;
use trainer_train::estimate::work as format_work;

/// The note on every result with feature maps in f16.
pub const F16_NOTE: &str = "Feature maps were stored in f16 to fit the memory: labels may differ from \
     those in f32 at single voxels.";

/// The plan that the engine ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// The number type of stored feature maps, "f32" or "f16". Sums are f32 in both cases.
    pub storage: String,
    /// The bytes that the run allocates on the GPU.
    pub peak_bytes: u64,
    /// The multiply-adds of a pass.
    pub multiply_adds: u64,
    /// The widest fused blocks in channels. A fused block does not store its expanded channels,
    /// which is faster on some GPUs. The result is the same but for rounding.
    #[serde(default)]
    pub max_fused_channels: usize,
    /// The reason why a larger plan within the memory limit did not run, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "instead")]
    pub fallback_reason: Option<String>,
}

impl PlanSummary {
    pub(super) fn new(plan: &Plan, fallback_reason: Option<String>) -> PlanSummary {
        let storage = match plan.options.storage {
            Storage::F32 => "f32",
            Storage::F16 => "f16",
        };
        PlanSummary {
            storage: storage.into(),
            peak_bytes: plan.footprint.total_bytes,
            multiply_adds: plan.multiply_adds(),
            max_fused_channels: plan.options.max_fused_channels,
            fallback_reason,
        }
    }

    /// Returns whether feature maps were rounded to f16.
    pub fn is_f16(&self) -> bool {
        self.storage == "f16"
    }
}

impl fmt::Display for PlanSummary {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (bytes, work) = (format_bytes(self.peak_bytes), format_work(self.multiply_adds));
        write!(f, "{work} multiply-adds in {bytes}, feature maps in {}", self.storage)
    }
}
