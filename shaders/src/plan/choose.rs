//! The choice of a plan that fits a budget.

use model_core::Program;

use super::Plan;
use super::options::{PlanOptions, Preference};
use crate::Error;
use crate::kernels::Storage;
use crate::layout::MAX_BINDING_BYTES;

impl Plan {
    /// Returns the first plan within a budget: f32 before f16; for each, larger slabs and all
    /// channels of a block before smaller slabs and fewer channels.
    ///
    /// # Errors
    /// The errors of [`Plan::new`]; [`Error::Budget`] with the bytes of the smallest plan if none
    /// fits.
    pub fn within(program: &Program, budget_bytes: u64) -> Result<Plan, Error> {
        Plan::preferring(Preference::default(), program, budget_bytes)
    }

    /// Returns the first plan within a budget that follows a preference.
    ///
    /// # Errors
    /// The errors of [`Plan::within`].
    pub fn preferring(
        preference: Preference,
        program: &Program,
        budget_bytes: u64,
    ) -> Result<Plan, Error> {
        let mut smallest = u64::MAX;
        for options in candidates(preference) {
            let plan = Plan { preference, ..Plan::new(program, options)? };
            if plan.footprint.total_bytes <= budget_bytes {
                return Ok(plan);
            }
            smallest = smallest.min(plan.footprint.total_bytes);
        }
        Err(Error::Budget { budget_bytes, smallest_bytes: smallest })
    }

    /// Returns the next smaller plan of the same program, if there is one.
    ///
    /// # Errors
    /// The errors of [`Plan::within`].
    pub fn smaller(&self) -> Result<Plan, Error> {
        Plan::preferring(self.preference, &self.program, self.footprint.total_bytes - 1)
    }
}

/// Returns the options to try, best first.
pub(super) fn candidates(
    Preference { storage, max_fused_channels }: Preference,
) -> Vec<PlanOptions> {
    let mut list = Vec::new();
    for storage in storage.map_or(vec![Storage::F32, Storage::F16], |storage| vec![storage]) {
        // Smaller slabs first: they cost almost nothing.
        for (channel_splits, slab_bytes) in [
            (1, MAX_BINDING_BYTES),
            (1, MAX_BINDING_BYTES / 4),
            (2, MAX_BINDING_BYTES / 4),
            (4, MAX_BINDING_BYTES / 4),
            (usize::MAX, MAX_BINDING_BYTES / 4),
            (usize::MAX, MAX_BINDING_BYTES / 16),
        ] {
            // The fused kernel processes eight channels at a time; with a single group most would
            // be idle.
            let max_fused_channels =
                if channel_splits == usize::MAX { 0 } else { max_fused_channels };
            list.push(PlanOptions { storage, channel_splits, max_fused_channels, slab_bytes });
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

    /// Cases that fit a page with 512 MiB, 1 GiB or 2 GiB: cropped to the brain, and whole.
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
            for max_fused_channels in [0, 32] {
                let preference = Preference { storage: None, max_fused_channels };
                let program = program(preset, dims);
                let plan = Plan::preferring(preference, &program, budget << 20).unwrap();
                assert_eq!(plan.options.storage, storage, "{preset} {dims:?} in {budget} MiB");
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
