//! The published networks, and three of this project, by name.

use super::{
    Activation, BackwardMode, BranchKind, Decoder, EncoderBlock, LevelTransition, NetworkSettings,
    Resampling, Skip, UNetConfig,
};
use crate::{Error, Result};

/// Names of the presets, for messages and help.
pub const PRESETS: [&str; 15] = [
    "pendse-baseline",
    "mbconv-base",
    "mbconv-deeper",
    "mbconv-wider",
    "mbconv-slim",
    "brugger-baseline",
    "brugger-1-1",
    "brugger-2-1",
    "brugger-3-1",
    "brugger-4-1",
    "unet3d",
    "partially-invres",
    "fully-invres",
    "fully-invres-slim",
    "demo",
];

impl UNetConfig {
    /// Returns a preset with a task's input and output channels.
    ///
    /// # Errors
    /// [`Error::Network`] if [`PRESETS`] does not contain the name, or without channels.
    pub fn preset(name: &str, in_channels: usize, out_channels: usize) -> Result<Self> {
        NetworkSettings::preset(name)?.build(in_channels, out_channels)
    }
}

impl NetworkSettings {
    /// Returns the settings of a preset, without channels.
    ///
    /// # Errors
    /// [`Error::Network`] if [`PRESETS`] does not contain the name.
    pub fn preset(name: &str) -> Result<Self> {
        Ok(match name {
            "pendse-baseline" => {
                NetworkSettings { half: BranchKind::Conv, ..pendse(&[60, 120, 180, 240, 480], 30) }
            }
            "mbconv-base" => pendse(&[30, 60, 120, 180, 240], 15),
            "mbconv-deeper" => pendse(&[30, 60, 120, 180, 240, 480], 15),
            "mbconv-wider" => {
                NetworkSettings { expand_ratio: 8, ..pendse(&[30, 60, 120, 180, 240], 15) }
            }
            // The network for the browser. The decoder's dense convolutions, 93 % of the
            // multiply-adds of `mbconv-base`, are replaced by reversible blocks.
            "mbconv-slim" => NetworkSettings {
                decoder: Decoder::ReversibleMbconv,
                ..pendse(&[30, 60, 120, 180, 240], 15)
            },
            "demo" => NetworkSettings {
                decoder: Decoder::ReversibleMbconv,
                ..pendse(&[16, 32, 48, 64], 8)
            },
            "brugger-1-1" => brugger(1),
            "brugger-2-1" => brugger(2),
            "brugger-3-1" => brugger(3),
            "brugger-4-1" => brugger(4),
            "brugger-baseline" => plain(&[30, 60, 120, 240, 480], 30, Skip::Add),
            "unet3d" => plain(&[32, 64, 128, 256], 0, Skip::Concat),
            "partially-invres" => NetworkSettings {
                body: EncoderBlock::Reversible,
                half: BranchKind::Conv,
                decoder: Decoder::Reversible,
                backward: BackwardMode::Reversible,
                ..plain(&[32, 64, 128, 256], 0, Skip::Add)
            },
            "fully-invres" => fully_invres(&[16, 64, 256, 1024]),
            // With as many parameters as `unet3d`, within 4 %.
            "fully-invres-slim" => fully_invres(&[6, 24, 96, 384]),
            _ => {
                let expected = format!("a preset, one of {}", PRESETS.join(", "));
                return Err(Error::network(expected, format!("{name:?}")));
            }
        })
    }
}

/// Returns the size (i, j, k) that a preset's paper trains on. If a paper names several, or for
/// presets of this project, the size for which memory is discussed.
pub fn published_size(preset: &str) -> [usize; 3] {
    match preset {
        "pendse-baseline" | "mbconv-base" | "mbconv-slim" => [256, 256, 160],
        "brugger-1-1" | "brugger-2-1" | "brugger-3-1" | "brugger-4-1" => [160, 192, 160],
        "demo" => [64; 3],
        _ => [128; 3],
    }
}

/// Yamazaki et al. 2022, section "Fully Invertible Network".
fn fully_invres(widths: &[usize]) -> NetworkSettings {
    NetworkSettings {
        first: LevelTransition::Pointwise,
        body: EncoderBlock::Reversible,
        half: BranchKind::Conv,
        decoder: Decoder::Reversible,
        resampling: Resampling::PixelShuffle,
        backward: BackwardMode::Reversible,
        ..plain(widths, 0, Skip::Add)
    }
}

/// Pendse et al. 2020, section 2.
fn pendse(widths: &[usize], groups: usize) -> NetworkSettings {
    NetworkSettings {
        in_channels: None,
        out_channels: None,
        widths: widths.to_vec(),
        first: LevelTransition::PointwiseNorm,
        entry: LevelTransition::PointwiseNorm,
        body: EncoderBlock::Reversible,
        half: BranchKind::Mbconv,
        expand_ratio: 2,
        blocks: 1,
        decoder_blocks: None,
        decoder: Decoder::Conv2,
        resampling: Resampling::PoolTrilinear,
        reflections: super::sixteen(),
        skip: Skip::Add,
        groups: (groups > 0).then_some(groups),
        activation: Activation::Relu,
        backward: BackwardMode::Reversible,
        deep_supervision: 0,
        vae: None,
    }
}

/// Brügger et al. 2019, section 2.1, with `blocks` in each encoder sequence and one in each of the
/// decoder's.
fn brugger(blocks: usize) -> NetworkSettings {
    NetworkSettings {
        first: LevelTransition::Conv,
        entry: LevelTransition::Pointwise,
        half: BranchKind::Preactivation,
        blocks,
        decoder_blocks: Some(1),
        decoder: Decoder::ReversiblePreactivation,
        activation: Activation::LeakyRelu,
        ..pendse(&[60, 120, 240, 360, 480], 30)
    }
}

/// A U-Net of two convolutions a level: Brügger's baseline (Isensee's No New-Net, as in their
/// public code: convolution, norm, activation), and the 2022 paper's.
fn plain(widths: &[usize], groups: usize, skip: Skip) -> NetworkSettings {
    NetworkSettings {
        first: LevelTransition::ConvNorm,
        entry: LevelTransition::ConvNorm,
        body: EncoderBlock::Conv,
        skip,
        activation: Activation::LeakyRelu,
        backward: BackwardMode::NonReversible,
        ..pendse(widths, groups)
    }
}
