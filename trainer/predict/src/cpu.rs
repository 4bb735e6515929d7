//! Networks on the processor, by the engine that the page has too. If the memory is short, the
//! expanded channels of blocks are processed a few at a time.

use std::cell::RefCell;
use std::ops::ControlFlow;

use anyhow::{Result, bail};
use model_core::cpu::{CpuOutput, CpuPlan};
use model_core::{Bundle, Input, Program, UNetConfig};

/// A network on the processor.
#[derive(Default)]
pub struct CpuNetwork {
    /// The last plan, and the limit that it was made for. Tiles and flips share it, since their
    /// sizes are equal.
    plan: RefCell<Option<(CpuPlan, u64)>>,
    /// The most bytes that a pass may allocate.
    max_bytes: std::cell::Cell<Option<u64>>,
}

impl CpuNetwork {
    /// Sets the most bytes that a pass may allocate; `None` is no limit.
    pub fn limit(&self, max_bytes: Option<u64>) {
        self.max_bytes.set(max_bytes);
    }

    /// Returns the bytes that a pass allocates: at most the limit, or the least possible.
    ///
    /// # Errors
    /// Errors if the network does not accept the size.
    pub fn pass_bytes(&self, network: &UNetConfig, dims: [usize; 3]) -> Result<u64> {
        self.planned(network, dims, |plan| plan.memory.total_bytes())
    }

    /// Plans a pass, unless the last plan is for the same size and limit.
    fn planned<R>(
        &self,
        network: &UNetConfig,
        dims: [usize; 3],
        use_plan: impl FnOnce(&CpuPlan) -> R,
    ) -> Result<R> {
        let program = Program::new(network, dims)?;
        let max_bytes = self.max_bytes.get().unwrap_or(u64::MAX);
        let mut last = self.plan.borrow_mut();
        let is_same =
            last.as_ref().is_some_and(|(plan, max)| *max == max_bytes && plan.program == program);
        if !is_same {
            let plan = CpuPlan::within(&program, 1, max_bytes)?.remove(0);
            *last = Some((plan, max_bytes));
        }
        let (plan, _) = last.as_ref().expect("just planned");
        Ok(use_plan(plan))
    }

    /// Computes the logits of an input. `on_progress` receives texts about the progress.
    ///
    /// # Shapes
    /// - input: `[channel][k][j][i]`
    /// - output: `[output][k][j][i]`
    ///
    /// # Errors
    /// Errors if the network does not accept the size, or if the memory does not suffice.
    pub fn logits(
        &self,
        bundle: &Bundle,
        input: &Input,
        on_progress: &mut dyn FnMut(String),
    ) -> Result<Vec<f32>> {
        let output = self.planned(&bundle.card.network, input.dims, |plan| {
            plan.run(&bundle.weights, &input.values, |fraction| {
                on_progress(format!(", {:.0} %", 100.0 * fraction));
                ControlFlow::Continue(())
            })
        })?;
        match output? {
            CpuOutput::Logits(logits) => Ok(logits),
            CpuOutput::Labels(_) => bail!("expected logits of the network, found labels"),
        }
    }
}
