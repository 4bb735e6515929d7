//! Other implementations of the same operations.

use anyhow::{Result, bail};
use burn::tensor::activation::relu;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};
use clap::ValueEnum;

use super::passes::{Op, Operands, Pass, groups, scale_and_shift};

/// Whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// Burn's own operations; it has no max pooling and no trilinear up-sampling of volumes.
    Stock,
    /// PyTorch's, through its library.
    Libtorch,
}

impl Against {
    /// In the table.
    pub fn name(self) -> &'static str {
        match self {
            Against::Stock => "stock",
            Against::Libtorch => "libtorch",
        }
    }

    /// # Errors
    /// When it is not compiled in.
    pub fn check(self) -> Result<()> {
        if self == Against::Libtorch && !cfg!(feature = "libtorch") {
            bail!(
                "--against libtorch: this build has none; build with `cargo build -p trainer \
                 --features libtorch`"
            );
        }
        Ok(())
    }

    /// Median seconds of a pass.
    ///
    /// # Errors
    /// Where it has no such operation, or fails at it.
    pub fn secs(
        self,
        pass: Pass,
        operands: &Operands,
        repeat: usize,
        device: &Device,
    ) -> Result<f64> {
        match self {
            Against::Stock if matches!(pass.op, Op::MaxPool | Op::Upsample) => bail!("none"),
            Against::Stock => {
                pass.secs(device, repeat, operands, |x, weight| stock(pass.op, x, weight))
            }
            #[cfg(feature = "libtorch")]
            Against::Libtorch => super::libtorch::secs(pass, operands, repeat, device),
            #[cfg(not(feature = "libtorch"))]
            Against::Libtorch => bail!("not compiled in"),
        }
    }
}

fn stock(op: Op, x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
    let conv = |x: Tensor<5>, weight: Tensor<5>, padding: usize, groups: usize| {
        conv3d(x, weight, None, ConvOptions::new([1; 3], [padding; 3], [1; 3], groups))
    };
    let [outputs, inputs, ..] = weight.dims();
    match op {
        Op::Depthwise => conv(x, weight, 1, outputs),
        Op::Pointwise => conv(x, weight, 0, 1),
        Op::Conv3 => conv(x, weight, 1, 1),
        Op::GroupNorm => {
            let [b, c, k, j, i] = x.dims();
            let groups = groups(inputs);
            let x = x.reshape([b * groups, c / groups * k * j * i]);
            let (variance, mean) = x.clone().var_mean_bias(1);
            let x = ((x - mean) / (variance + 1e-5).sqrt()).reshape([b, c, k, j, i]);
            let [gamma, beta] = scale_and_shift(weight).map(|t| t.reshape([1, c, 1, 1, 1]));
            relu(x * gamma + beta)
        }
        Op::Add => x + weight,
        Op::MaxPool | Op::Upsample => unreachable!("refused before"),
    }
}
