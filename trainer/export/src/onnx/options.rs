//! Options of an ONNX file.

use crate::storage::Storage;

/// The largest file. Protocol buffers store a message's size as an i32.
pub(super) const MAX_BYTES: u64 = i32::MAX as u64;

/// Options of an ONNX file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnnxOptions {
    /// The number type of the weights.
    pub storage: Storage,
    /// The nodes of group norms.
    pub norms: Norms,
}

impl Default for OnnxOptions {
    /// Returns the most precise options.
    fn default() -> OnnxOptions {
        OnnxOptions { storage: Storage::F32, norms: Norms::Means }
    }
}

/// The nodes of group norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Norms {
    /// Means along one axis after the other. They are precise for volumes of any size in every
    /// runtime
    Means,
    /// The operator GroupNormalization, for runtimes with a kernel for it. Runtimes that sum a
    /// whole volume at once in f32, such as onnxruntime, are less precise for large volumes
    Operator,
}
