//! A planned run on the GPU or on the processor.

use model_core::cpu::{CpuPlan, total_bytes};
use model_core::{Op, Program};
use shaders::kernels::Storage;
use shaders::{Error, Plan, Preference};

use crate::messages;
use crate::protocol::{PlanSummary, PlannedEngine};

/// The engine to plan for.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The GPU, with its name and the kernels that are faster on it.
    Gpu(String, Preference),
    /// The processor, on so many workers.
    Processor(usize),
}

/// A planned run.
#[derive(Debug, Clone)]
pub enum RunPlan {
    /// On the GPU of this name.
    Gpu(String, Box<Plan>),
    /// On the processor, one plan for each part.
    Processor(Vec<CpuPlan>),
}

/// The reason why there is no plan.
pub enum Unplanned {
    /// No plan fits the budget.
    Budget {
        /// The bytes of the smallest plan.
        smallest_bytes: u64,
        /// A message for the user.
        message: String,
    },
    /// The program cannot be run, with a message for the user.
    Failed(String),
}

impl RunPlan {
    /// Plans a program within a budget.
    pub fn new(
        target: &Target,
        program: &Program,
        budget_bytes: u64,
    ) -> Result<RunPlan, Unplanned> {
        match target {
            Target::Gpu(name, preference) => {
                let plan = Plan::preferring(*preference, program, budget_bytes);
                let plan = plan.map_err(|error| match error {
                    Error::Budget { smallest_bytes, .. } => {
                        Unplanned::Budget { smallest_bytes, message: error.to_string() }
                    }
                    error => Unplanned::Failed(messages::run_error(&error)),
                })?;
                Ok(RunPlan::Gpu(name.clone(), Box::new(plan)))
            }
            Target::Processor(num_workers) => {
                let num_parts = (*num_workers).min(CpuPlan::max_parts(program));
                let parts = CpuPlan::within(program, num_parts, budget_bytes);
                let parts = parts.map_err(|error| Unplanned::Failed(error.to_string()))?;
                let smallest_bytes = total_bytes(&parts);
                if smallest_bytes > budget_bytes {
                    let message = messages::exceeds_budget(smallest_bytes, budget_bytes);
                    return Err(Unplanned::Budget { smallest_bytes, message });
                }
                Ok(RunPlan::Processor(parts))
            }
        }
    }

    /// Summarizes the plan for the page.
    pub fn summary(&self) -> PlanSummary {
        let dims = |program: &Program| program.buffers[program.input.buffer].dims;
        match self {
            RunPlan::Gpu(name, plan) => PlanSummary {
                engine: PlannedEngine::Gpu(name.clone()),
                dims: dims(&plan.program),
                multiply_adds: plan.multiply_adds(),
                bytes: plan.footprint.total_bytes,
                bits: match plan.options.storage {
                    Storage::F32 => 32,
                    Storage::F16 => 16,
                },
            },
            RunPlan::Processor(parts) => PlanSummary {
                engine: PlannedEngine::Processor(parts.len()),
                dims: dims(&parts[0].program),
                multiply_adds: parts[0].program.total_multiply_adds(),
                bytes: total_bytes(parts),
                bits: 32,
            },
        }
    }
}

/// Returns whether a program ends in labels.
pub fn decides(program: &Program) -> bool {
    matches!(program.ops.last(), Some(Op::Decide { .. }))
}
