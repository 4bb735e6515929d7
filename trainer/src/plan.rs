//! `rewind plan`: the memory and the work of a training step, told before it runs.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::FloatDType;
use clap::Args;
use indicatif::HumanCount;
use model_core::config::{PRESETS, published_size};
use model_core::kernels::Place;
use model_core::nets::Precision;
use model_core::plan::{Fit, LevelRun, Plan, Run, Settings, fit, plan};
use model_core::{UNetConfig, Vae};
use serde::Serialize;

use crate::config::TrainConfig;
use crate::{DISCLAIMER, device};

/// Tell the memory and the work of a training step before it runs.
///
/// For each level and in total: parameters, multiply-adds, bytes stored for the backward pass, and
/// the most bytes held; for the network as it rewinds, for its twin that stores everything, and for
/// the twin with √n gradient checkpointing. Computed from the configuration that the network is
/// built from; `rewind bench memory` measures the same.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Volumes a step.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Whose kernels: cpu, wgpu or cuda; by default the best that is compiled in and present.
    #[arg(long)]
    device: Option<String>,
    /// Tells the largest cube, depth and width that train within this much memory, such as 16GiB.
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
    /// Settings whose network is meant, as TOML.
    #[arg(long, conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Voxels of the input, slowest axis first. By default `plan` takes the preset's published size
    /// or the settings' patch, `bench` 32 or the network's least along each axis.
    #[arg(long, value_name = "KxJxI")]
    size: Option<String>,
    /// Channels of the input, where the settings leave them open.
    #[arg(long, default_value_t = 4)]
    channels: usize,
    /// Regions or labels of the output, where the settings leave them open.
    #[arg(long, default_value_t = 3)]
    outputs: usize,
    /// f32; mixed: layers in f16, reversible streams in f32; f16 or bf16: streams too.
    #[arg(long, default_value = "f32", value_parser = ["f32", "mixed", "f16", "bf16"])]
    pub precision: String,
    /// With the variational branch.
    #[arg(long)]
    vae: bool,
}

const EXAMPLES: &str = "\
Examples:
  rewind plan --preset mbconv-base
  rewind plan --preset brugger-4-1 --size 160x192x160 --precision mixed
  rewind plan --preset mbconv-slim --fit 16GiB
  rewind plan --config train.toml --size 96x96x96 --json

Research use only, not a medical device";

impl NetworkArgs {
    /// Its name, its description, and the size (i, j, k); `size` is the edge to take for measured
    /// steps where none is given, 0 for the published size.
    ///
    /// # Errors
    /// For a network that cannot be built or does not take the size.
    pub fn network(&self, smallest: usize) -> Result<(String, UNetConfig, [usize; 3])> {
        let (name, mut config, usual) = match (&self.preset, &self.config) {
            (Some(name), _) => {
                let config = UNetConfig::preset(name, self.channels, self.outputs)?;
                (name.clone(), config, published_size(name))
            }
            (None, Some(file)) => {
                let settings = TrainConfig::read(file)?;
                let config = settings.network_of(self.channels, self.outputs)?;
                (file.display().to_string(), config, settings.patch)
            }
            (None, None) => bail!("expected --preset (one of {}) or --config", PRESETS.join(", ")),
        };
        let dims = match &self.size {
            Some(text) => size(text)?,
            None if smallest > 0 => [smallest.max(config.min_size()); 3],
            None => usual,
        };
        if self.vae {
            config.vae.get_or_insert_with(Vae::default);
        }
        if let Some(vae) = &mut config.vae {
            vae.patch = dims;
        }
        config.check()?;
        config.check_size(dims).with_context(|| {
            let [i, j, k] = config.padded(dims);
            format!("--size (the next that it takes is {k}x{j}x{i})")
        })?;
        Ok((name, config, dims))
    }

    /// The precision of a name.
    ///
    /// # Errors
    /// For an unknown one.
    pub fn precision(&self) -> Result<Precision> {
        let half = |float| Precision { compute: float, stream: float };
        Ok(match self.precision.as_str() {
            "f32" => Precision::F32,
            "mixed" => Precision::mixed(FloatDType::F16),
            "f16" => half(FloatDType::F16),
            "bf16" => half(FloatDType::BF16),
            other => bail!("expected a precision f32, mixed, f16 or bf16, found {other}"),
        })
    }

    /// In words.
    pub fn describe_precision(&self) -> &str {
        match self.precision.as_str() {
            "mixed" => "layers in f16, reversible streams in f32",
            other => other,
        }
    }
}

/// Whose kernels a device of this name runs; it need not be present.
///
/// # Errors
/// For an unknown name.
pub fn place(device: Option<&str>) -> Result<Place> {
    let name = match device {
        Some(name) => name.to_string(),
        None => device::describe(&device::device(None)?),
    };
    match name.split([':', '(']).next() {
        Some("cpu") => Ok(Place::Cpu),
        Some("wgpu" | "cuda") => Ok(Place::Gpu),
        _ if device.is_none() => Ok(Place::Gpu),
        _ => bail!("--device: expected cpu, wgpu or cuda, found {name:?}"),
    }
}

/// "160x192x160", slowest axis first, as (i, j, k).
fn size(text: &str) -> Result<[usize; 3]> {
    let axes: Vec<usize> = text.split(['x', '×']).map_while(|axis| axis.parse().ok()).collect();
    let found = text.split(['x', '×']).count();
    match axes[..] {
        [n] if found == 1 => Ok([n; 3]),
        [k, j, i] if found == 3 => Ok([i, j, k]),
        _ => bail!("--size: expected KxJxI such as 160x192x160, found {text:?}"),
    }
}

/// "16GiB", "16 GB", "800MiB" in bytes.
fn memory(text: &str) -> Result<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "gib" => 1u64 << 30,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "mb" => 1_000_000,
        _ => bail!("--fit: expected memory such as 16GiB, found {text:?}"),
    };
    let number: f64 = number.parse().with_context(|| format!("--fit: found {text:?}"))?;
    ensure!(number.is_finite() && number < 1e9, "--fit: found {text:?}");
    Ok((number * factor as f64) as u64)
}

/// Bytes, for tables: MiB below one GiB.
pub fn bytes(bytes: u64) -> String {
    let mib = bytes as f64 / (1u64 << 20) as f64;
    if mib >= 1000.0 { format!("{:.2} GiB", mib / 1024.0) } else { format!("{mib:.1} MiB") }
}

/// Multiply-adds, for tables.
fn work(count: u64) -> String {
    let giga = count as f64 / 1e9;
    if giga >= 1000.0 { format!("{:.3} T", giga / 1e3) } else { format!("{giga:.2} G") }
}

/// Runs the command.
///
/// # Errors
/// For a network that cannot be built or does not take the size.
pub fn run(args: PlanArgs) -> Result<()> {
    let (name, config, dims) = args.network.network(0)?;
    let precision = args.network.precision()?;
    ensure!((1..=1024).contains(&args.batch), "--batch: expected 1 to 1024, found {}", args.batch);
    let settings = Settings { place: place(args.device.as_deref())?, batch: args.batch, precision };
    let found = plan(&config, dims, settings)?;
    let fits = match &args.fit {
        None => None,
        Some(text) => {
            let budget = memory(text)?;
            let modes = found.runs.iter().map(|run| fit(&config, dims, settings, budget, run.mode));
            Some(modes.collect::<model_core::Result<Vec<Fit>>>()?)
        }
    };
    if args.json {
        #[derive(Serialize)]
        struct All {
            network: UNetConfig,
            plan: Plan,
            #[serde(skip_serializing_if = "Option::is_none")]
            fit: Option<Vec<Fit>>,
        }
        let all = All { network: config, plan: found, fit: fits };
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    let precision = args.network.describe_precision();
    println!("{}", head(&name, &config, &found, precision, settings.place));
    println!("{}", levels(&found));
    if let (Some(fits), Some(budget)) = (&fits, &args.fit) {
        println!("{}", fitting(fits, budget, dims));
    }
    println!("{DISCLAIMER}");
    Ok(())
}

fn head(name: &str, config: &UNetConfig, plan: &Plan, precision: &str, place: Place) -> String {
    let [i, j, k] = plan.size;
    let mut text = format!(
        "{name}: {} channels in, {} out; {} of {k}×{j}×{i} voxels (k, j, i), {precision}, {}\n\
         {} parameters; with the optimizer's state and their average {}\n\n\
         {:>12} {:>12} {:>12} {:>12} {:>14}  computed again\n",
        config.in_channels,
        config.out_channels,
        if plan.batch == 1 { "one volume".into() } else { format!("{} volumes", plan.batch) },
        if place == Place::Cpu { "on the CPU" } else { "on a GPU" },
        HumanCount(plan.parameters),
        bytes(plan.state_bytes),
        "a step",
        "stored",
        "peak",
        "in all",
        "multiply-adds",
    );
    for run in &plan.runs {
        text += &format!(
            "{:>12} {:>12} {:>12} {:>12} {:>14}  {:.2} forward passes\n",
            run.mode.name(),
            bytes(run.stored_bytes),
            bytes(run.peak_bytes),
            bytes(run.peak_bytes + plan.state_bytes),
            work(run.step_multiply_adds),
            run.extra_forward
        );
    }
    text + "\
        stored: bytes kept for the backward pass. peak: the most held, without the parameters, the\n\
        optimizer's state and their average; in all: with them. twin: the same network, storing\n\
        everything; checkpointed: the twin storing every √n-th of n layers.\n"
}

/// Level by level: the network, then the step.
fn levels(plan: &Plan) -> String {
    let total = |text: &str| format!("{text:>5}");
    let mut text = format!(
        "{:>5} {:>13} {:>6} {:>12} {:>14}\n",
        "level", "voxels", "width", "parameters", "forward"
    );
    for (number, level) in plan.levels.iter().enumerate() {
        let [i, j, k] = level.size;
        text += &format!(
            "{number:>5} {:>13} {:>6} {:>12} {:>14}\n",
            format!("{k}×{j}×{i}"),
            level.width,
            HumanCount(level.parameters).to_string(),
            work(level.forward_multiply_adds)
        );
    }
    text += &format!(
        "{} {:>20} {:>12} {:>14}\n\n",
        total("total"),
        "",
        HumanCount(plan.parameters).to_string(),
        work(plan.forward_multiply_adds)
    );
    let columns: [(&str, Column); 3] = [
        ("stored", |of| bytes(of.stored_bytes)),
        ("peak while there", |of| bytes(of.peak_bytes)),
        ("multiply-adds", |of| work(of.step_multiply_adds)),
    ];
    text += &total("");
    for (name, _) in columns {
        let width = 11 * plan.runs.len() - 1;
        text += &format!(" | {name:^width$}");
    }
    text += &format!("\n{}", total("level"));
    for _ in columns {
        let names = plan.runs.iter().map(|run| format!("{:>10.10}", run.mode.name()));
        text += &format!(" | {}", names.collect::<Vec<_>>().join(" "));
    }
    let row = |of: &dyn Fn(&Run) -> LevelRun| {
        columns.map(|(_, column)| {
            let cells = plan.runs.iter().map(|run| format!("{:>10}", column(&of(run))));
            format!(" | {}", cells.collect::<Vec<_>>().join(" "))
        })
    };
    for number in 0..plan.levels.len() {
        let cells = row(&|run: &Run| run.levels[number].clone()).concat();
        text += &format!("\n{number:>5}{cells}");
    }
    let all = |run: &Run| LevelRun {
        stored_bytes: run.stored_bytes,
        peak_bytes: run.peak_bytes,
        step_multiply_adds: run.step_multiply_adds,
    };
    text + &format!("\n{}{}\n", total("total"), row(&all).concat())
}

/// What a column shows of a level.
type Column = fn(&LevelRun) -> String;

fn fitting(fits: &[Fit], budget: &str, [i, j, k]: [usize; 3]) -> String {
    let mut text = format!(
        "Within {budget}, the optimizer's state included (depth and width at {k}×{j}×{i}):\n\
         {:>13}  {:>12}  {:>15}  {:>12}\n",
        "", "largest cube", "blocks a level", "widths"
    );
    let none = || "none".to_string();
    for fit in fits {
        text += &format!(
            "{:>13}  {:>12}  {:>15}  {:>12}\n",
            fit.mode.name(),
            fit.cube.map_or_else(none, |n| format!("{n}³")),
            fit.blocks.map_or_else(none, |n| if n == 64 {
                "64 or more".into()
            } else {
                n.to_string()
            }),
            fit.width.map_or_else(none, |n| format!("{n:.2} ×")),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_memories_are_read() {
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
