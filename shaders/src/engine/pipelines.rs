//! Compiled kernels, cached per engine.

use std::sync::PoisonError;

use wgpu::{ComputePipeline, ErrorFilter};

use super::Engine;
use crate::Error;
use crate::kernels::{Constants, Kernel, Storage};
use crate::plan::{Plan, Step};

/// Key of a compiled pipeline.
#[derive(PartialEq, Eq, Hash)]
pub struct Variant {
    kernel: &'static str,
    entry: &'static str,
    constants: Constants,
    storage: Storage,
}

impl Variant {
    /// Returns the key of a step.
    pub fn of(step: &Step, storage: Storage) -> Variant {
        let Step { kernel, entry, constants, .. } = *step;
        Variant { kernel: kernel.name, entry, constants, storage }
    }
}

impl Engine {
    /// Compiles the pipelines of a plan that are not compiled yet.
    ///
    /// # Errors
    /// [`Error::Device`] if the GPU rejects a kernel.
    pub async fn prepare(&self, plan: &Plan) -> Result<(), Error> {
        let storage = plan.options.storage;
        let scope = self.device.push_error_scope(ErrorFilter::Validation);
        {
            let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
            for step in &plan.steps {
                let compile = || self.compile(step.kernel, step.entry, step.constants, storage);
                pipelines.entry(Variant::of(step, storage)).or_insert_with(compile);
            }
        }
        match scope.pop().await {
            Some(error) => {
                self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).clear();
                Err(Error::Device(error.to_string()))
            }
            None => Ok(()),
        }
    }

    /// Compiles an entry point of a kernel. Errors go to the device's error scopes.
    fn compile(
        &self,
        kernel: &Kernel,
        entry: &str,
        constants: Constants,
        storage: Storage,
    ) -> ComputePipeline {
        self.pipeline(kernel.name, kernel.source(storage, self.hardware), entry, constants)
    }

    /// Compiles an entry point of any source in the same way.
    pub(super) fn pipeline(
        &self,
        name: &str,
        source: String,
        entry: &str,
        constants: Constants,
    ) -> ComputePipeline {
        let constants: Vec<_> =
            constants.iter().map(|&(name, value)| (name, f64::from(value))).collect();
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        })
    }
}
