//! The engines of `cargo xtask bench browser`: run a network on an input, without the page.
#![cfg(target_arch = "wasm32")]

use std::ops::ControlFlow;

use model_core::cpu::{CpuOutput, CpuPlan};
use model_core::{Bundle, Program, Weights};
use shaders::{Engine, Output, Plan, Preference};
use wasm_bindgen::prelude::*;

/// A planned network on an open GPU.
#[wasm_bindgen]
pub struct Network {
    engine: Engine,
    plan: Plan,
    weights: Weights,
}

#[wasm_bindgen]
impl Network {
    /// Opens the GPU, compiles the kernels and plans the bundle's network for an input of i × j × k
    /// voxels. Blocks of at most `max_fused_channels` channels are fused; by default the faster
    /// variant on this GPU is chosen.
    ///
    /// # Errors
    /// If there is no GPU, or the bundle or the size is not valid.
    pub async fn open(
        bundle: Vec<u8>,
        i: usize,
        j: usize,
        k: usize,
        max_fused_channels: Option<usize>,
    ) -> Result<Network, JsError> {
        let bundle = Bundle::from_bytes(&bundle)?;
        let program = Program::new(&bundle.card.network, [i, j, k])?;
        let engine = Engine::new().await?;
        let preference = match max_fused_channels {
            Some(max_fused_channels) => Preference { max_fused_channels, ..Preference::default() },
            None => engine.preference().await,
        };
        let plan = Plan::preferring(preference, &program, u64::MAX)?;
        engine.prepare(&plan).await?;
        Ok(Network { engine, plan, weights: bundle.weights })
    }

    /// Returns the logits of an input `[channel][k][j][i]`.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn run(&self, input: Vec<f32>) -> Result<Vec<f32>, JsError> {
        let go_on = &mut |_| ControlFlow::Continue(());
        match self.engine.run(&self.plan, &self.weights, &input, go_on).await? {
            Output::Logits(logits) => Ok(logits),
            Output::Labels(_) => Err(JsError::new("expected logits, found labels")),
        }
    }
}

/// A network planned for the processor, on one thread.
#[wasm_bindgen]
pub struct ProcessorNetwork {
    plan: CpuPlan,
    weights: Weights,
}

#[wasm_bindgen]
impl ProcessorNetwork {
    /// Plans the bundle's network for an input of i × j × k voxels.
    ///
    /// # Errors
    /// If the bundle or the size is not valid.
    #[wasm_bindgen(constructor)]
    pub fn new(bundle: Vec<u8>, i: usize, j: usize, k: usize) -> Result<ProcessorNetwork, JsError> {
        let bundle = Bundle::from_bytes(&bundle)?;
        let program = Program::new(&bundle.card.network, [i, j, k])?;
        let plan = CpuPlan::within(&program, 1, u64::MAX)?.remove(0);
        Ok(ProcessorNetwork { plan, weights: bundle.weights })
    }

    /// Returns the logits of an input `[channel][k][j][i]`.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn run(&self, input: Vec<f32>) -> Result<Vec<f32>, JsError> {
        match self.plan.run(&self.weights, &input, |_| ControlFlow::Continue(()))? {
            CpuOutput::Logits(logits) => Ok(logits),
            CpuOutput::Labels(_) => Err(JsError::new("expected logits, found labels")),
        }
    }
}
