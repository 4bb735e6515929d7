//! Compiled kernels, cached per engine.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wgpu::{ComputePipeline, Device, ErrorFilter};

use crate::Error;
use crate::kernels::{Constants, Hardware, Storage};
use crate::plan::{Plan, Step};

/// Key of a compiled pipeline.
#[derive(PartialEq, Eq, Hash)]
struct Variant {
    kernel: &'static str,
    entry: &'static str,
    constants: Constants,
    storage: Storage,
}

impl Variant {
    /// Returns the key of a step.
    fn of(step: &Step, storage: Storage) -> Variant {
        let Step { kernel, entry, constants, .. } = *step;
        Variant { kernel: kernel.name, entry, constants, storage }
    }
}

/// The pipelines of a device, compiled on first use.
pub struct Pipelines {
    device: Device,
    /// Optional features of the GPU.
    hardware: Hardware,
    compiled: Mutex<HashMap<Variant, ComputePipeline>>,
}

impl Pipelines {
    /// Creates an empty cache for a device.
    pub fn new(device: Device, hardware: Hardware) -> Pipelines {
        Pipelines { device, hardware, compiled: Mutex::default() }
    }

    /// Compiles the pipelines of a plan that are not compiled yet.
    ///
    /// # Errors
    /// [`Error::Device`] if the GPU rejects a kernel.
    pub async fn prepare(&self, plan: &Plan) -> Result<(), Error> {
        let storage = plan.options.storage;
        let scope = self.device.push_error_scope(ErrorFilter::Validation);
        {
            let mut compiled = self.compiled();
            for step in &plan.steps {
                let compile = || {
                    let source = step.kernel.source(storage, self.hardware);
                    compile(&self.device, step.kernel.name, source, step.entry, step.constants)
                };
                compiled.entry(Variant::of(step, storage)).or_insert_with(compile);
            }
        }
        match scope.pop().await {
            Some(error) => {
                self.compiled().clear();
                Err(Error::Device(error.to_string()))
            }
            None => Ok(()),
        }
    }

    /// Returns the pipeline of a step.
    ///
    /// # Panics
    /// Panics if the step's plan was not prepared.
    pub fn get(&self, step: &Step, storage: Storage) -> ComputePipeline {
        self.compiled()[&Variant::of(step, storage)].clone()
    }

    fn compiled(&self) -> MutexGuard<'_, HashMap<Variant, ComputePipeline>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compiles an entry point of a source. Errors go to the device's error scopes.
pub fn compile(
    device: &Device,
    name: &str,
    source: String,
    entry: &str,
    constants: Constants,
) -> ComputePipeline {
    let constants: Vec<_> =
        constants.iter().map(|&(name, value)| (name, f64::from(value))).collect();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
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
