//! The settings' number types as burn's.

use burn::tensor::FloatDType;
use model_core::nets;
use trainer_run::config::{Float, Precision};

/// Converts a setting to burn's type.
pub fn dtype(float: Float) -> FloatDType {
    match float {
        Float::F32 => FloatDType::F32,
        Float::Bf16 => FloatDType::BF16,
        Float::F16 => FloatDType::F16,
    }
}

/// Converts the settings of a precision to the network's.
pub fn network_precision(precision: Precision) -> nets::Precision {
    nets::Precision { compute: dtype(precision.compute), stream: dtype(precision.stream) }
}
