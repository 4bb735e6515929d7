//! `rewind plan`: estimates the memory and the work of a training step.

use crate::precision::network_precision;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use model_core::network::config::{PRESETS, published_size};
use model_core::network::memory_estimate::{Fit, MemoryEstimate, Settings, estimate, fit};
use model_core::{NetworkSettings, UNetConfig, Vae};
use serde::Serialize;

use crate::device;
use trainer_run::DISCLAIMER;
use trainer_run::config::{Float, Precision, TrainConfig, default_stream, describe, precision};

mod print;

pub use print::work;
use print::{fitting, head, levels};

/// Tell the memory and the work of a training step before it runs.
///
/// For each level and in total: parameters, multiply-adds, bytes stored for the backward pass, and
/// the most bytes held; for the network as it rewinds, for the non-reversible network, which stores
/// everything, and with √n gradient checkpointing. Computed from the configuration that the network
/// is built from; `rewind-bench memory` measures the same.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Volumes a step; by default the settings' batch, or 1 for a preset.
    #[arg(long)]
    batch: Option<usize>,
    /// The device whose kernels run: cpu, wgpu or cuda; by default the best available one.
    #[arg(long)]
    device: Option<String>,
    /// Also print the largest volume, depth (levels, blocks) and width that train within this memory,
    /// such as 16GiB.
    #[arg(long, value_name = "MEMORY")]
    fit: Option<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Which network, on which size, in which precision.
#[derive(Args)]
pub struct NetworkArgs {
    /// A network by name.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(PRESETS))]
    preset: Option<String>,
    /// Takes the network of these settings for training (TOML).
    #[arg(long, conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Voxels of the input along top, front, right, the slowest axis of the file first (a training
    /// patch is named the other way round). By default `plan` takes the preset's published size
    /// or the settings' patch, `rewind-bench` 32³ or a small size that the network takes.
    #[arg(long, value_name = "KxJxI")]
    size: Option<String>,
    /// Channels of the input, where the settings leave them open.
    #[arg(long, default_value_t = 4)]
    channels: usize,
    /// Regions or labels of the output, where the settings leave them open.
    #[arg(long, default_value_t = 3)]
    outputs: usize,
    /// The type of the layers; by default that of the settings, or f32 for a preset.
    #[arg(long)]
    precision: Option<Float>,
    /// Type of the streams of reversible blocks: f32, or as the precision; by default as the
    /// precision where no sequence has more than five blocks.
    #[arg(long)]
    stream: Option<Float>,
    /// With the variational branch.
    #[arg(long)]
    vae: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind plan --preset mbconv-base
  rewind plan --preset brugger-4-1 --size 160x192x160 --precision f16
  rewind plan --preset mbconv-base --precision f16 --stream f16
  rewind plan --preset mbconv-slim --fit 16GiB
  rewind plan --config train.toml --size 96x96x96 --json

Research use only, not a medical device";

/// A network and the input of a step.
pub struct Chosen {
    /// The name of the preset, or of the settings' file.
    pub name: String,
    /// The network.
    pub config: UNetConfig,
    /// Voxels of the input along i, j, k.
    pub dims: [usize; 3],
    /// Volumes a step.
    pub batch: usize,
}

impl NetworkArgs {
    /// Returns the network of the options. Without a size, the input is a cube of edge `smallest`, or of
    /// the network's smallest edge if that is larger; with 0, the published size or the settings' patch.
    ///
    /// # Errors
    /// Errors for a network that cannot be built or does not take the size.
    pub fn network(&self, smallest: usize) -> Result<Chosen> {
        let (name, mut settings, usual, batch) = match (&self.preset, &self.config) {
            (Some(name), _) => {
                (name.clone(), NetworkSettings::preset(name)?, published_size(name), 1)
            }
            (None, Some(file)) => {
                let settings = TrainConfig::read(file)?;
                settings.check()?;
                let network = settings.network_settings()?;
                (file.display().to_string(), network, settings.patch, settings.batch)
            }
            (None, None) => bail!("expected --preset (one of {}) or --config", PRESETS.join(", ")),
        };
        let channels = |stated: Option<usize>, given| stated.unwrap_or(given);
        let inputs = channels(settings.in_channels, self.channels);
        let outputs = channels(settings.out_channels, self.outputs);
        let (dims, whose) = match &self.size {
            Some(text) => (size(text)?, "--size"),
            None if smallest > 0 => ([smallest.max(2 * settings.min_size()); 3], "the size"),
            None => (usual, "the usual size"),
        };
        let [i, j, k] = settings.padded(dims);
        let next = format!("{whose} (the next that the network takes is {k}x{j}x{i})");
        settings.check_size(dims).context(next)?;
        if self.vae {
            settings.vae.get_or_insert_with(Vae::default);
        }
        if let Some(vae) = &mut settings.vae {
            vae.patch = Some(dims);
        }
        let config = settings.build(inputs, outputs)?;
        Ok(Chosen { name, config, dims, batch })
    }

    /// Returns the precision of the options for a network.
    ///
    /// # Errors
    /// Errors for settings that cannot be read, and for streams that are neither f32 nor as the layers.
    pub fn precision(&self, network: &UNetConfig) -> Result<Precision> {
        let settings = match &self.config {
            Some(file) => TrainConfig::read(file)?,
            None => TrainConfig::default(),
        };
        let compute = self.precision.unwrap_or(settings.precision);
        let stream = self.stream.or(settings.stream);
        precision(compute, stream.unwrap_or_else(|| default_stream(compute, network)))
    }
}

/// Parses a size such as "160x192x160", slowest axis first, to (i, j, k).
///
/// # Errors
/// Errors for any other text.
pub fn size(text: &str) -> Result<[usize; 3]> {
    let axes: Vec<usize> = text.split(['x', '×']).map_while(|axis| axis.parse().ok()).collect();
    let found = text.split(['x', '×']).count();
    match axes[..] {
        [n] if found == 1 => Ok([n; 3]),
        [k, j, i] if found == 3 => Ok([i, j, k]),
        _ => bail!("--size: expected KxJxI such as 160x192x160, found {text:?}"),
    }
}

/// Parses an amount of memory such as "16GiB", "16 GB" or "800MiB" to bytes.
///
/// # Errors
/// Errors for any other text.
pub fn memory(text: &str) -> Result<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "gib" => 1u64 << 30,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "mb" => 1_000_000,
        _ => bail!("expected memory in GiB, MiB, GB or MB, such as 16GiB, found {text:?}"),
    };
    let number: f64 = (number.parse())
        .with_context(|| format!("expected memory such as 16GiB, found {text:?}"))?;
    ensure!(number < 1e9, "expected less memory than {text}");
    Ok((number * factor as f64) as u64)
}

/// Returns the table, or the JSON text, that the options ask for.
///
/// # Errors
/// Errors for a network that cannot be built or does not take the size.
pub fn report(args: PlanArgs) -> Result<String> {
    let Chosen { name, config, dims, batch } = args.network.network(0)?;
    let precision = args.network.precision(&config)?;
    let batch = args.batch.unwrap_or(batch);
    ensure!(batch >= 1, "--batch: expected at least 1, found {batch}");
    let settings = Settings {
        place: device::kind(args.device.as_deref())?,
        batch,
        precision: network_precision(precision),
    };
    let found = estimate(&config, dims, settings)?;
    let fits = match &args.fit {
        None => None,
        Some(text) => {
            let budget = memory(text).context("--fit")?;
            let modes = found.runs.iter().map(|run| fit(&config, dims, settings, budget, run.mode));
            Some(modes.collect::<model_core::Result<Vec<Fit>>>()?)
        }
    };
    if args.json {
        #[derive(Serialize)]
        struct All {
            network: UNetConfig,
            plan: MemoryEstimate,
            #[serde(skip_serializing_if = "Option::is_none")]
            fit: Option<Vec<Fit>>,
        }
        let all = All { network: config, plan: found, fit: fits };
        return Ok(serde_json::to_string_pretty(&all)?);
    }
    let precision = describe(precision);
    let mut text = format!(
        "{}\n{}\n",
        head(&name, &config, &found, &precision, settings.place),
        levels(&found)
    );
    if let (Some(fits), Some(budget)) = (&fits, &args.fit) {
        text += &format!("{}\n", fitting(fits, budget, dims));
    }
    Ok(text + DISCLAIMER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_requests_are_refused_or_estimated() {
        let requested = |options: &[&str]| {
            #[derive(clap::Parser)]
            struct Line {
                #[command(flatten)]
                plan: PlanArgs,
            }
            let line = ["plan"].iter().chain(options);
            report(<Line as clap::Parser>::try_parse_from(line).unwrap().plan)
        };
        let deep = ["--preset", "brugger-4-1", "--fit", "999999999GiB", "--json"];
        requested(&deep).unwrap();
        for size in ["18446744073709551615x32x32", "1048576", "0", "32x0x32", "33"] {
            assert!(requested(&["--preset", "demo", "--size", size]).is_err(), "{size}");
        }
        assert!(requested(&["--preset", "demo", "--batch", "0"]).is_err());
        assert!(requested(&["--preset", "demo", "--batch", "18446744073709551615"]).is_err());
        requested(&["--preset", "mbconv-wider", "--size", "16384", "--batch", "16384"]).unwrap();
    }

    #[test]
    fn sizes_and_amounts_of_memory_are_parsed() {
        assert_eq!(size("160x192x128").unwrap(), [128, 192, 160]);
        assert_eq!(size("64").unwrap(), [64; 3]);
        for text in ["", "1x2", "1x2x3x4", "ax2x3", "1x2x"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(memory("16GiB").unwrap(), 16 << 30);
        assert_eq!(memory("1.5 GB").unwrap(), 1_500_000_000);
        for text in ["16", "GiB", "-1GiB", "1e9GiB", "infGiB"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }
}
