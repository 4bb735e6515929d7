//! The types in which a network computes, by name.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use model_core::UNetConfig;
use model_core::network::layers;
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

/// The most blocks of a sequence whose streams are in half precision by default. Up to here rewinding
/// adds less than a third to the error of the layers' own half precision, in `fully-invres`, a
/// sequence of eight, as much again (`trainer/docs/precision.md`).
const MAX_HALF_BLOCKS: usize = 5;

/// Returns the type of the streams of reversible blocks where none is chosen.
pub fn default_stream(compute: Float, network: &UNetConfig) -> Float {
    match layers::longest_rewound_sequence(network) <= MAX_HALF_BLOCKS {
        true => compute,
        false => Float::F32,
    }
}

impl TrainConfig {
    /// Returns the precision in which a network is trained.
    ///
    /// # Errors
    /// As [`precision`].
    pub fn precision(&self, network: &UNetConfig) -> Result<Precision> {
        let stream = self.stream.unwrap_or_else(|| default_stream(self.precision, network));
        precision(self.precision, stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sequences_have_streams_in_f32_unless_they_are_chosen() {
        let stream = |preset: &str, text: &str| {
            let config = TrainConfig::parse(&format!("precision = \"f16\"\n{text}")).unwrap();
            config.precision(&UNetConfig::preset(preset, 4, 3).unwrap()).unwrap().stream
        };
        let half = ["pendse-baseline", "mbconv-base", "mbconv-slim", "brugger-4-1", "unet3d"];
        half.iter().for_each(|preset| assert_eq!(stream(preset, ""), Float::F16, "{preset}"));
        assert_eq!(stream("fully-invres", ""), Float::F32);
        assert_eq!(stream("fully-invres", "stream = \"f16\""), Float::F16);
        assert_eq!(stream("mbconv-base", "stream = \"f32\""), Float::F32);
    }

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
