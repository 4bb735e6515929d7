//! Conditions of an estimated step.

use crate::kernels::DeviceKind;
use crate::nets::Precision;

/// Conditions of a step.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The device whose kernels run.
    pub place: DeviceKind,
    /// Volumes per step.
    pub batch: usize,
    /// The types of the tensors.
    pub precision: Precision,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { place: DeviceKind::Cpu, batch: 1, precision: Precision::F32 }
    }
}

/// Returns the bytes of a value.
pub(super) fn float_bytes(float: burn::tensor::FloatDType) -> u64 {
    burn::tensor::DType::from(float).size() as u64
}
