//! What a plan allocates, and the plan that fits a budget.

use model_core::Program;

use super::{Plan, PlanOptions, SlabRange};
use crate::Error;
use crate::kernels::Storage;
use crate::kernels::group_norm::AFFINE_BYTES;
use crate::layout::MAX_BINDING_BYTES;

/// Bytes between the settings of two steps in their common buffer.
pub const PARAMS_SLOT: usize = super::super::weights::ALIGNMENT as usize;

/// What a run allocates on the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Maps between operations.
    pub map_bytes: u64,
    /// The norms' sums and affines, and the kernels' settings.
    pub scratch_bytes: u64,
    /// The parameters, as the kernels read them.
    pub weight_bytes: u64,
    /// One slab of the input on its way in, and one of the result on its way out.
    pub staging_bytes: u64,
    /// All of these.
    pub total_bytes: u64,
}

/// Bytes of the largest part.
pub fn largest(parts: &[SlabRange]) -> u64 {
    parts.iter().map(|part| part.bytes).max().unwrap_or(0)
}

impl Footprint {
    pub(super) fn of(plan: &Plan) -> Footprint {
        let map_bytes = plan.buffers.iter().sum();
        let settings = (plan.steps.len() * PARAMS_SLOT) as u64;
        let affines = AFFINE_BYTES * plan.num_affines as u64;
        let scratch_bytes = plan.partials_bytes + affines + settings;
        let staging_bytes = largest(&plan.input) + largest(&plan.output);
        let weight_bytes = plan.weight_bytes;
        let total_bytes = map_bytes + scratch_bytes + weight_bytes + staging_bytes;
        Footprint { map_bytes, scratch_bytes, weight_bytes, staging_bytes, total_bytes }
    }
}

/// What a plan should be like, beside small enough; see [`PlanOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preference {
    /// In what maps are stored; else in f32 where the budget allows it.
    pub storage: Option<Storage>,
    /// Up to how many channels blocks are fused, which is faster on some GPUs; none where it is not
    /// known ([`Engine::preference`](crate::Engine::preference)).
    pub most_fused: usize,
}

impl Plan {
    /// The first plan within a budget: in f32, then in f16; of each with larger slabs and all of a
    /// block's channels before smaller ones and fewer.
    ///
    /// # Errors
    /// As [`Plan::new`]; [`Error::Budget`] when none fits, with the bytes of the smallest.
    pub fn within(program: &Program, budget_bytes: u64) -> Result<Plan, Error> {
        Plan::preferring(Preference::default(), program, budget_bytes)
    }

    /// The first within a budget of those that a GPU, or a person, prefers.
    ///
    /// # Errors
    /// As [`Plan::within`].
    pub fn preferring(
        preference: Preference,
        program: &Program,
        budget_bytes: u64,
    ) -> Result<Plan, Error> {
        let mut smallest = u64::MAX;
        for manner in manners(preference) {
            let plan = Plan { preference, ..Plan::new(program, manner)? };
            if plan.footprint.total_bytes <= budget_bytes {
                return Ok(plan);
            }
            smallest = smallest.min(plan.footprint.total_bytes);
        }
        Err(Error::Budget { budget_bytes, smallest_bytes: smallest })
    }

    /// The next smaller plan of the same program, where there is one.
    ///
    /// # Errors
    /// As [`Plan::within`].
    pub fn smaller(&self) -> Result<Plan, Error> {
        Plan::preferring(self.preference, &self.program, self.footprint.total_bytes - 1)
    }
}

/// The ways to run a program, the best first.
pub(super) fn manners(Preference { storage, most_fused }: Preference) -> Vec<PlanOptions> {
    let mut list = Vec::new();
    for storage in storage.map_or(vec![Storage::F32, Storage::F16], |storage| vec![storage]) {
        // Smaller slabs first: they cost next to nothing.
        for (parts, slab_bytes) in [
            (1, MAX_BINDING_BYTES),
            (1, MAX_BINDING_BYTES / 4),
            (2, MAX_BINDING_BYTES / 4),
            (4, MAX_BINDING_BYTES / 4),
            (usize::MAX, MAX_BINDING_BYTES / 4),
            (usize::MAX, MAX_BINDING_BYTES / 16),
        ] {
            // The fused kernel takes eight channels at a time: of a group alone most would be idle.
            let most_fused = if parts == usize::MAX { 0 } else { most_fused };
            list.push(PlanOptions { storage, parts, most_fused, slab_bytes });
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::UNetConfig;

    fn program(preset: &str, dims: [usize; 3]) -> Program {
        Program::new(&UNetConfig::preset(preset, 4, 3).unwrap(), dims).unwrap()
    }

    /// What a person with 512 MiB, or 1 or 2 GiB, for the page can open: a case cropped to the brain,
    /// and a whole one.
    #[test]
    fn a_whole_case_fits_a_small_gpu() {
        let (cropped, whole) = ([144, 176, 144], [240, 240, 160]);
        for (preset, dims, budget, storage) in [
            ("demo", cropped, 512, Storage::F32),
            ("mbconv-slim", cropped, 1024, Storage::F32),
            ("mbconv-slim", cropped, 512, Storage::F16),
            ("mbconv-base", cropped, 1024, Storage::F32),
            ("mbconv-base", cropped, 512, Storage::F16),
            ("mbconv-slim", whole, 2048, Storage::F32),
            ("mbconv-base", whole, 1024, Storage::F16),
        ] {
            for most_fused in [0, 32] {
                let preference = Preference { storage: None, most_fused };
                let program = program(preset, dims);
                let plan = Plan::preferring(preference, &program, budget << 20).unwrap();
                assert_eq!(plan.manner.storage, storage, "{preset} {dims:?} in {budget} MiB");
                assert!(plan.buffers.iter().all(|&bytes| bytes <= MAX_BINDING_BYTES));
            }
        }
    }

    #[test]
    fn a_budget_that_holds_no_plan_is_refused_with_the_smallest_that_does() {
        let program = program("demo", [64; 3]);
        let refused = Plan::within(&program, 1 << 20);
        let Err(Error::Budget { smallest_bytes, .. }) = refused else { panic!("{refused:?}") };
        let mut plan = Plan::within(&program, u64::MAX).unwrap();
        let mut sizes = vec![plan.footprint.total_bytes];
        while let Ok(smaller) = plan.smaller() {
            assert!(smaller.footprint.total_bytes < plan.footprint.total_bytes);
            sizes.push(smaller.footprint.total_bytes);
            plan = smaller;
        }
        assert!(sizes.len() > 3, "{sizes:?}");
        assert!(sizes.contains(&smallest_bytes));
        assert!(Plan::within(&program, smallest_bytes).is_ok());
    }
}
