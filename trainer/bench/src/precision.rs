//! `rewind-bench precision`: what half precision does to gradients, and what rewinding adds to that.

use anyhow::{Result, ensure};
use burn::optim::GradientsParams;
use burn::tensor::Device;
use clap::Args;
use model_core::nets::{Precision, backward};
use model_core::network::memory_estimate::{Mode, can_rewind};
use model_core::{Task, UNetConfig, Weights};

use super::ensure_small;
use super::gradients::{distance, values};
use trainer_data::patches::Batch;
use trainer_run::config::{Float, LossKind, precision};
use trainer_run::rng::{RngStream, generator, normal};
use trainer_run::{DISCLAIMER, progress};
use trainer_train::adam::numbers;
use trainer_train::drift::Drift;
use trainer_train::estimate::{Chosen, NetworkArgs};
use trainer_train::initial::initial_weights;
use trainer_train::loss::Loss;
use trainer_train::loss_scale::LossScale;
use trainer_train::precision::network_precision;
use trainer_train::{device, model};

/// Measure what half precision does to gradients, and what rewinding adds.
///
/// The gradient of the loss by all parameters, of a network with its initial weights on one volume
/// of random numbers, in every precision and with either type of the reversible streams: how far
/// it is from that of f32 that stores everything, and, rewound, from that of the same precision that
/// stores everything; both relative to its length. And the largest relative error of the input of a
/// rewound sequence, as the drift monitor of a training measures it.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PrecisionArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Blocks a level.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    blocks: Vec<usize>,
    /// Decides the weights and the volume.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, wgpu, wgpu:N, cuda or cuda:N; by default the best that is compiled in and present.
    #[arg(long)]
    device: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench precision --preset mbconv-slim --size 32x32x32
  rewind-bench precision --preset brugger-1-1 --size 32x32x32 --blocks 1,8

Research use only, not a medical device";

/// Layers and streams.
const PRECISIONS: [(Float, Float); 5] = [
    (Float::F32, Float::F32),
    (Float::F16, Float::F32),
    (Float::F16, Float::F16),
    (Float::Bf16, Float::F32),
    (Float::Bf16, Float::Bf16),
];

/// Runs the command.
///
/// # Errors
/// For a network that cannot be built, has nothing to rewind or does not take the size.
pub fn run(args: &PrecisionArgs) -> Result<()> {
    let Chosen { name, config, dims, .. } = args.network.network(32)?;
    ensure_small(1, &config, dims)?;
    let config = config.for_inference();
    ensure!(can_rewind(&config), "{name} has no reversible blocks: nothing is rewound");
    let device = device::device(args.device.as_deref())?;
    let [i, j, k] = dims;
    println!(
        "{name}, one volume of {k}×{j}×{i} voxels (k, j, i), on {}\n",
        device::describe(&device)
    );
    println!(
        "| blocks | layers | streams | gradient, from f32's | from storing's | input, recovered |\n\
         |---|---|---|---|---|---|"
    );
    for &blocks in &args.blocks {
        let config = UNetConfig { blocks, ..config.clone() };
        config.check()?;
        let weights = initial_weights(&config, args.seed);
        let batch = batch(&config, dims, args.seed);
        let of = |mode: Mode, precision| {
            gradient(&mode.of(&config), &weights, precision, &batch, dims, &device)
        };
        let (exact, _) = of(Mode::NonReversible, Precision::F32)?;
        for (compute, stream) in PRECISIONS {
            if progress::is_terminal() {
                eprint!("\r\x1b[K{blocks} blocks, {} …\r", compute.name());
            }
            let precision = network_precision(precision(compute, stream)?);
            let (stored, _) = of(Mode::NonReversible, precision)?;
            let (rewound, drift) = of(Mode::Reversible, precision)?;
            println!(
                "| {blocks} | {} | {} | {:.1e} | {:.1e} | {:.1e} |",
                compute.name(),
                stream.name(),
                distance(&rewound, &exact),
                distance(&rewound, &stored),
                drift.map_or(0.0, |drift| drift.worst().1)
            );
        }
    }
    println!("\n{DISCLAIMER}");
    Ok(())
}

/// A volume of normal numbers, with a ball in its middle that holds smaller ones, one a label.
fn batch(config: &UNetConfig, dims: [usize; 3], seed: u64) -> Batch {
    let num_voxels = dims.iter().product::<usize>();
    let label = |voxel: usize| {
        let at = [voxel % dims[0], voxel / dims[0] % dims[1], voxel / (dims[0] * dims[1])];
        let offset = |axis: usize| 2.0 * (at[axis] as f64 + 0.5) / dims[axis] as f64 - 1.0;
        let radius = (0..3).map(|axis| offset(axis).powi(2)).sum::<f64>().sqrt();
        (0..config.out_channels).rfind(|n| radius * *n as f64 <= 0.8).unwrap_or(0) as u8
    };
    let values = normal(generator(seed, RngStream::Patch, 0));
    Batch {
        number: 0,
        values: values.take(config.in_channels * num_voxels).collect(),
        labels: (0..num_voxels).map(label).collect(),
        cases: vec!["random".into()],
    }
}

/// All parameters' gradients in the module's order, and what rewinding drifts.
fn gradient(
    config: &UNetConfig,
    weights: &Weights,
    precision: Precision,
    batch: &Batch,
    dims: [usize; 3],
    device: &Device,
) -> Result<(Vec<f32>, Option<Drift>)> {
    let tracked = device.clone().autodiff();
    let network = model::build_in(config, weights, precision, &tracked)?;
    let labels = (1..config.out_channels).map(|n| (n as u8, n.to_string())).collect();
    let channels = (0..config.in_channels).map(|n| n.to_string()).collect();
    let loss = Loss::new(&Task::exclusive("random", channels, labels), LossKind::DiceCe);
    let mut scale = LossScale::default().resumed(precision);
    loop {
        let x = model::tensor(batch.values.clone(), config.in_channels, dims, &tracked);
        let logits = network.forward(x);
        let (_, seed) = loss.of(&numbers(logits.clone().inner()), &batch.labels, 1);
        let seed = scale.seed(model::tensor(seed, config.out_channels, dims, &tracked));
        let gradients = backward(vec![(logits, seed)]);
        let gradients = GradientsParams::from_grads(gradients, &network);
        let values = values(&network, gradients);
        if values.iter().all(|value| value.is_finite()) {
            let factor = scale.factor().unwrap_or(1.0) as f32;
            let values = values.into_iter().map(|value| value / factor).collect();
            return Ok((values, Drift::of(&network, batch, dims)));
        }
        ensure!(scale.can_skip(), "the gradient has left the range of {precision:?}");
        scale.skip();
    }
}
