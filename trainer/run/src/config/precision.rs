//! The types in which a network computes, by name.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::TrainConfig;

/// A floating-point type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Float {
    /// 32 bits.
    F32,
    /// 16 bits, 8 of them significant, with the range of f32.
    Bf16,
    /// 16 bits, 11 of them significant, from 6e-8 to 65504.
    F16,
}

impl Float {
    /// Returns the name in settings and options.
    pub fn name(self) -> &'static str {
        match self {
            Float::F32 => "f32",
            Float::Bf16 => "bf16",
            Float::F16 => "f16",
        }
    }
}

/// The types in which a network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// The type of the layers.
    pub compute: Float,
    /// The type of the residual streams of reversible blocks.
    pub stream: Float,
}

/// Returns the precision with these types of layers and of reversible streams.
///
/// # Errors
/// If the streams are neither f32 nor of the layers' type. Another type would round the outputs
/// of the layers and save no memory.
pub fn precision(compute: Float, stream: Float) -> Result<Precision> {
    ensure!(
        stream == Float::F32 || stream == compute,
        "precision: expected streams in f32{}, found layers in {} and streams in {}",
        if compute == Float::F32 { String::new() } else { format!(" or {}", compute.name()) },
        compute.name(),
        stream.name()
    );
    Ok(Precision { compute, stream })
}

/// Returns a precision in words.
pub fn describe(precision: Precision) -> String {
    let compute = precision.compute.name();
    match (precision.compute, precision.stream) {
        (Float::F32, _) => compute.into(),
        (_, Float::F32) => format!("{compute}, reversible streams in f32"),
        _ => format!("{compute}, reversible streams too"),
    }
}

impl TrainConfig {
    /// Returns the precision of training.
    ///
    /// # Errors
    /// As [`precision`].
    pub fn precision(&self) -> Result<Precision> {
        precision(self.precision, self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_f32_or_what_the_layers_are() {
        use Float::*;
        for (compute, stream) in [(F32, F32), (F16, F32), (Bf16, Bf16)] {
            precision(compute, stream).unwrap();
        }
        for (compute, stream) in [(F32, F16), (F16, Bf16), (Bf16, F16)] {
            let error = precision(compute, stream).unwrap_err().to_string();
            assert!(error.contains("expected streams in f32"), "{error}");
        }
    }
}
